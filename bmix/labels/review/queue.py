"""Which labels are asked about, in which order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from bmix.labels.run import LabelledRun
from bmix.labels.scored import Scored
from bmix.labels.worst import given_lists, worst_labels

ORDERS = ("score", "class", "spread")


@dataclass(frozen=True)
class Question:
    """A label that somebody is asked about.

    number: in the queue, from 0 on. row: of the image in its split. given: 1 or 0. instead: the class that the image
    probably lacks, or "". labels: all given ones of the image.
    """

    number: int
    id: str
    row: int
    file: str
    class_name: str
    given: int
    instead: str
    p_wrong: float | None
    why: str
    labels: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """The label, by image and class."""
        return self.id, self.class_name

    def plain(self) -> dict[str, Any]:
        """For a page."""
        return asdict(self)


def build_queue(
    run: LabelledRun, scored: Scored, budget: int, order: str = "score", class_name: str = "", value: str = "both"
) -> list[Question]:
    """At most `budget` questions, the same ones whenever it is asked.

    order: by `score`, the likeliest to be wrong first; by `class`, the same ones class after class; or `spread`: of
    every class its likeliest, then of every class the next, so that no class goes without. class_name, value: as in
    `worst_labels`.
    """
    found = worst_labels(run, scored, budget, class_name, value, spread=order == "spread")
    if order == "class":
        column_of = {name: column for column, name in enumerate(run.classes)}
        found = found.sort_values("class", key=lambda names: names.map(column_of), kind="stable")
    row_of = pd.Series(range(len(run.manifest.ids(scored.split))), run.manifest.ids(scored.split))
    lists = given_lists(run, scored.split)
    return [
        Question(
            number=number,
            id=label["id"],
            row=int(row_of[label["id"]]),
            file=label["file"],
            class_name=label["class"],
            given=int(label["given"]),
            instead=label["instead"],
            p_wrong=None if label["p_wrong"] != label["p_wrong"] else float(label["p_wrong"]),
            why=label["why"],
            labels=tuple(lists[int(row_of[label["id"]])]),
        )
        for number, label in enumerate(found.to_dict("records"))
    ]
