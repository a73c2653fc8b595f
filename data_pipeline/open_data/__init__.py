"""Two-person recordings that anyone can get, each form read as it lies on disk."""
