"""Pre-training of the backbone without labels, before warm-up."""
