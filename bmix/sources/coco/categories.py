"""The categories of all parts of a COCO data set, and which of them are classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bmix.sources.class_list import ClassList
from bmix.sources.coco.file import in_ascending_order
from bmix.support.errors import InputError


@dataclass
class Categories:
    """The categories of the parts read so far: name by id, the file that named each first, those with annotations."""

    every: dict[str, str] = field(default_factory=dict)
    _source_of: dict[str, Path] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def add(self, source: Path, names: dict[str, str], used: set[str]) -> None:
        """Add the categories of one file: name by id, and the ids with an annotation.

        Raises InputError if another file calls one of them otherwise. A file may lack categories that it does not need.
        """
        for number, name in names.items():
            known = self.every.setdefault(number, name)
            first = self._source_of.setdefault(number, source)
            if known != name:
                raise InputError(
                    f"{source}, categories",
                    f'id {number} is "{name}"; in {first} it is "{known}"',
                    "the same categories in every part",
                    "take parts of one release, or make their categories equal",
                )
        self._used |= used

    def names(self, listed: ClassList | None) -> dict[str, str]:
        """The name of every category that is a class by its id, ascending: those with annotations, or those listed.

        Raises InputError for two categories of one name, and for a listed class that is no category.
        """
        names = {number: self.every[number] for number in in_ascending_order(self.every)}
        if listed:
            listed.refuse_missing(list(names.values()), "a category")
            names = {number: name for number, name in names.items() if name in listed.names}
        used = {number: name for number, name in names.items() if number in self._used}
        self._refuse_equal_names(used)
        # Of categories without any annotation nothing is known, not even that they are absent.
        return used if listed is None else names

    def _refuse_equal_names(self, names: dict[str, str]) -> None:
        first_of: dict[str, str] = {}
        for number, name in names.items():
            first = first_of.setdefault(name, number)
            if first != number:
                raise InputError(
                    f"{self._source_of[number]}, categories",
                    f'ids {first} and {number} are both called "{name}"',
                    "a name of its own for each category",
                    "rename one of them, or give the annotations of both one category_id",
                )
