"""The MLflow record: written from the files of the stages, never read back as an input."""
