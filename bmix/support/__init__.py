"""What decides no result: errors, consoles, files, locks, YAML, progress."""
