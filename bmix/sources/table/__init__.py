"""A CSV, TSV, parquet or JSONL with a row per image."""
