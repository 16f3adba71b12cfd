"""Metrics, detection and repair of label noise, plots, the report."""
