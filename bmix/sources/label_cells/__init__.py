"""Labels as the cells of tables and of features hold them, read in one place."""

from bmix.sources.label_cells.entries import NONE, Entries
from bmix.sources.label_cells.listed import class_columns, listed_labels

__all__ = ["NONE", "Entries", "class_columns", "listed_labels"]
