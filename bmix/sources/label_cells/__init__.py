"""Labels as the cells of tables and of features hold them, read in one place."""

from bmix.sources.label_cells.entries import NONE, Entries
from bmix.sources.label_cells.read import Labels, read_labels
from bmix.sources.label_cells.rules import CellRules

__all__ = ["NONE", "CellRules", "Entries", "Labels", "read_labels"]
