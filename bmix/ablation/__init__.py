"""Tables of runs: a grid of rows and settings becomes cells, each a run of the pipeline, and the cells become a page."""
