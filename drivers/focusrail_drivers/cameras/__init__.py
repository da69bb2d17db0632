"""One module for each family of cameras."""
