"""What recipes share: what one is, its settings, mixed steps."""
