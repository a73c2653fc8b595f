"""Parameters and runs on disk, as everybody reads them."""
