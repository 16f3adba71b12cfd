"""From answers and rules to what changes in the data, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bmix.labels.answers import SKIP, Answer
from bmix.labels.run import LabelledRun
from bmix.labels.scored import read_scored
from bmix.sources.label_cells.reviewed import ADDED, KEPT, REMOVED
from bmix.support.errors import InputError, nearest, quoted


@dataclass(frozen=True)
class Change:
    """One label with its value before, 1 or 0, and after; by: `answer` or `rule`; p_wrong where a rule looked at it."""

    id: str
    class_name: str
    before: int
    after: int
    by: str
    reviewer: str = ""
    p_wrong: float | None = None


@dataclass(frozen=True)
class Changes:
    """What becomes of the labels of a run.

    looked_at: by (id, class), every label that was answered or that a rule changed, the answered ones first.
    """

    looked_at: Mapping[tuple[str, str], Change] = field(default_factory=dict)

    @property
    def changed(self) -> list[Change]:
        """The labels that get another value."""
        return [change for change in self.looked_at.values() if change.before != change.after]

    def reviewed(self) -> dict[str, dict[str, str]]:
        """By id and class, what people's answers did: the labels that are trusted from now on."""
        words = {(0, 0): KEPT, (1, 1): KEPT, (0, 1): ADDED, (1, 0): REMOVED}
        found: dict[str, dict[str, str]] = {}
        for change in self.looked_at.values():
            if change.by == "answer":
                found.setdefault(change.id, {})[change.class_name] = words[change.before, change.after]
        return found

    def targets(self, run: LabelledRun) -> dict[str, dict[str, int]]:
        """By id and class, the new value of every label that the source gives otherwise; injected noise included."""
        found: dict[str, dict[str, int]] = {}
        for change in self.changed:
            found.setdefault(change.id, {})[change.class_name] = change.after
        source_NK = run.manifest.labels("train")
        ids = run.manifest.ids("train")
        for row, column in zip(*np.nonzero(source_NK != run.train_given_NK), strict=True):
            id_, name = ids[row], run.classes[column]
            answered = self.looked_at.get((id_, name))
            value = int(run.train_given_NK[row, column]) if answered is None else answered.after
            own = found.setdefault(id_, {})
            if value == source_NK[row, column]:
                own.pop(name, None)
            else:
                own[name] = value
        return {id_: cells for id_, cells in found.items() if cells}

    def counts(self) -> dict[str, Any]:
        """How many labels were added, removed and kept, by answers and by rules."""
        return {
            by: {
                "added": sum(own.after > own.before for own in of_kind),
                "removed": sum(own.after < own.before for own in of_kind),
                "kept": sum(own.after == own.before for own in of_kind),
            }
            for by in ("answer", "rule")
            if (of_kind := [change for change in self.looked_at.values() if change.by == by])
        }


def changes_of(
    run: LabelledRun, answers: Iterable[Answer] = (), above: Mapping[str, float] | None = None, split: str = "train"
) -> Changes:
    """The changes of answers that hold, and of a rule for what nobody answered.

    above: the P(wrong) beyond which a label of `split` gets the other value, by class; under "" for all others.
    InputError for an unknown class of the rule.
    """
    given = _given_of(run)
    looked_at: dict[tuple[str, str], Change] = {}
    for answer in answers:
        if answer.answer == SKIP:
            continue
        for name, value in answer.cells.items():
            before = int(name in given[answer.id])
            looked_at[answer.id, name] = Change(answer.id, name, before, value, "answer", answer.reviewer)
    if above:
        for change in _by_rule(run, above, split):
            looked_at.setdefault((change.id, change.class_name), change)
    return Changes(looked_at)


def _given_of(run: LabelledRun) -> dict[str, set[str]]:
    return {id_: set(names) for id_, names in labels_by_id(run).items()}


def labels_by_id(run: LabelledRun) -> dict[str, list[str]]:
    """The given labels of every image that has some or may have, in class order."""
    found: dict[str, list[str]] = {}
    for split in run.splits():
        present_NK = run.given(split) == 1
        for id_, row in zip(run.manifest.ids(split), present_NK, strict=True):
            found[id_] = [run.classes[k] for k in np.flatnonzero(row)]
    return found


def _by_rule(run: LabelledRun, above: Mapping[str, float], split: str) -> Iterable[Change]:
    if unknown := [name for name in above if name and name not in run.classes]:
        remedy = f"correct it.{nearest(unknown[0], run.classes)}"
        raise InputError("--accept-above", f'no class "{unknown[0]}"', quoted(run.classes), remedy)
    scored = read_scored(run, split)
    if scored.frame["p_wrong"].isna().all() and len(scored.frame):
        found = "the recipe of this run gives no probability that a label is wrong"
        raise InputError("--accept-above", found, "an audit, or a recipe that judges labels", "see docs/audit.md")
    limit = scored.frame["class"].map(lambda name: above.get(name, above.get("", np.inf)))
    for row in scored.frame[scored.frame["p_wrong"] > limit].to_dict("records"):
        yield Change(row["id"], row["class"], row["given"], 1 - row["given"], "rule", p_wrong=float(row["p_wrong"]))
