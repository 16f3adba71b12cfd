"""Which rows of a file are which images, and what they say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bmix.labels.copies.cells import ListForm


@dataclass(frozen=True)
class Images:
    """ids: of the image of each row, in the order of the file; several rows may be one image.

    labels: the source's labels of each image, by id. form, column: of the column of labels; None and "" if there is a
    column for each class. per_label: the images of several rows, which name a label each.
    """

    ids: Sequence[str]
    labels: Mapping[str, frozenset[str]]
    form: ListForm | None
    column: str = ""
    per_label: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def rows(self) -> dict[str, list[int]]:
        """The rows of each image."""
        found: dict[str, list[int]] = {}
        for row, id_ in enumerate(self.ids):
            found.setdefault(id_, []).append(row)
        return found

    def has_row_per_label(self, id_: str) -> bool:
        """Whether the image has several rows, which name one label each."""
        return id_ in self.per_label

    def shows(self, class_name: str) -> list[bool]:
        """Of each row, whether its image has the class."""
        return [class_name in self.labels.get(id_, ()) for id_ in self.ids]
