"""A trained model at work: predictions of files, other formats, a service."""
