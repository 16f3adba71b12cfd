"""DeepFashion's fine-grained attributes."""
