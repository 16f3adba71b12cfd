"""The page on which people answer doubted labels."""
