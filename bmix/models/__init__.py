"""Backbones, and models as files."""
