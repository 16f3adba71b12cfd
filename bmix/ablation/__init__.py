"""Tables of runs: a grid becomes cells, each a run of the pipeline, and the cells become a page."""
