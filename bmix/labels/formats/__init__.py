"""Labels as other tools take them: a file for each."""
