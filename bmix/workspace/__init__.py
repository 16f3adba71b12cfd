"""What the stages of a project share beside their outputs: its root, what DVC locked, timings and failures."""
