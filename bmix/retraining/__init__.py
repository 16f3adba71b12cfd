"""Nights that can be left alone: what new data and a new model must show before they are served, and the way back."""
