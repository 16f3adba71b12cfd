"""Labels for images that nobody labelled, from the warmed-up model."""
