"""Corrected copies of what the labels were read from, in the form it has: a file for each form."""
