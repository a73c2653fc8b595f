"""PIRender: a photo, moved by coefficients; its network and its training."""
