"""What every format is made from: the images of a run with their labels, given and suggested."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from bmix.labels.changes import Changes
from bmix.labels.copies.plain import changed_names
from bmix.labels.run import LabelledRun
from bmix.labels.scored import NETWORK, Scored, read_scored
from bmix.support.errors import InputError


@dataclass(frozen=True)
class LabelledImages:
    """The images of all splits that hold labels.

    frame: `id`, `file` (relative to the image root, empty for features), `split`, and lists of class names: `given`,
    and `labels`, the corrected ones where something corrects them, else what the suggestions would make of the given.
    corrected: whether answers or a rule corrected them. root: of the files, None for features.
    """

    run: LabelledRun
    frame: pd.DataFrame
    corrected: bool
    root: Path | None

    @classmethod
    def of(cls, run: LabelledRun, changes: Changes) -> LabelledImages:
        """The images of a run; changes that looked at nothing leave the suggestions."""
        corrected = bool(changes.looked_at)
        parts = []
        for split in run.splits():
            rows = run.manifest.rows(split)
            present_NK = run.given(split) == 1
            given = [[run.classes[k] for k in np.flatnonzero(row)] for row in present_NK]
            values = _corrections(changes) if corrected else _suggestions(read_scored(run, split))
            labels = [
                changed_names(names, values.get(id_, {}), run.classes)
                for id_, names in zip(rows["id"], given, strict=True)
            ]
            files = rows["path"] if run.image_root is not None else ""
            part = pd.DataFrame({"id": rows["id"], "file": files, "split": split}).reset_index(drop=True)
            part["given"], part["labels"] = pd.Series(given, dtype=object), pd.Series(labels, dtype=object)
            parts.append(part)
        return cls(run, pd.concat(parts, ignore_index=True), corrected, run.image_root)

    @cached_property
    def column_of(self) -> dict[str, int]:
        """The number of each class."""
        return {name: column for column, name in enumerate(self.run.classes)}

    def numbers(self, column: str) -> list[list[int]]:
        """A column of class names as the classes' numbers."""
        return [[self.column_of[name] for name in names] for names in self.frame[column]]

    def p_given_present(self) -> np.ndarray:
        """P(a model that never saw the label would give the class), (N, K), the rows in the order of the frame.

        Of labels that are ignored or reviewed, the given value.
        """
        parts = []
        for split in self.run.splits():
            scored = read_scored(self.run, split)
            p_NK = (self.run.given(split) == 1).astype(np.float64)
            frame = scored.frame
            quality_M = np.log(1 / frame["p_wrong"] - 1) if scored.judged_by == NETWORK else frame["quality"]
            typical_M = expit(np.nan_to_num(np.asarray(quality_M, np.float64), posinf=60, neginf=-60))
            columns = pd.Index(self.run.classes).get_indexer(pd.Index(frame["class"]))
            p_NK[frame["row"], columns] = np.where(frame["given"] == 1, typical_M, 1 - typical_M)
            parts.append(p_NK)
        return np.concatenate(parts)

    def need_corrections(self, form: str) -> None:
        """InputError for a form that has no place for suggestions, where nothing was corrected."""
        if not self.corrected:
            found = f"{form} has no place for suggestions beside the given labels"
            raise InputError("--format", found, "what the labels are corrected by", "name ANSWERS, or --accept-above")

    def need_files(self, form: str) -> Path:
        """The folder of the images; InputError for features, which have none."""
        if self.root is None:
            raise InputError("--format", f"{form} is of images, and the run is of features", "csv", "choose csv")
        return self.root


def _corrections(changes: Changes) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for change in changes.changed:
        found.setdefault(change.id, {})[change.class_name] = change.after
    return found


def _suggestions(scored: Scored) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    doubted = scored.frame[scored.frame["p_wrong"] > 0.5]
    for id_, name, given in zip(doubted["id"], doubted["class"], doubted["given"], strict=True):
        found.setdefault(id_, {})[name] = 1 - int(given)
    return found
