"""Features instead of images."""
