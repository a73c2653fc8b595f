"""Video, sound, faces and photos in; pictures and video out."""
