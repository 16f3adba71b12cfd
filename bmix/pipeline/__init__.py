"""Running the DVC pipeline: what is checked before, copies of the project with edited params, the table after it."""
