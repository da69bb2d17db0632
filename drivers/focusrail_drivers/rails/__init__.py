"""One module for each family of rails."""
