"""What becomes of the labels: which to look at, why, what they are worth, reviewed by people, mended, handed on."""
