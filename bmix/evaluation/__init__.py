"""Metrics, detection and repair of label noise."""
