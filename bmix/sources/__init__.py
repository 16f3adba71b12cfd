"""What the stage prepare reads: a data set in any of its forms, as a verified manifest."""
