"""Parquet files that hold the pictures themselves."""
