"""One image: its picture, every label, and by what evidence it is doubted or not; as a page and as plain text."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bmix.data.decoding import UnusableImageError, decode
from bmix.labels.by_network import MODEL, network_scores
from bmix.labels.run import LabelledRun
from bmix.labels.scored import AUDIT, Scored, read_scored
from bmix.labels.why import share, why
from bmix.support.errors import InputError, nearest, quoted
from bmix.training.verdict_history import VERDICT_HISTORY, WORDS, read_image_history

_SIDE = 640
"""Pixels of the longer side of the picture in the page."""
_COMPARED = 5000
"""Ids among which a similar one is looked for."""
SIGNS = dict(zip(WORDS, ".-+?", strict=True))
"""What stands for a verdict in the column of the epochs."""


@dataclass(frozen=True)
class EpochVerdict:
    """What a label was called in one epoch; word: one of WORDS."""

    epoch: int
    word: str

    @property
    def sign(self) -> str:
        """One of SIGNS."""
        return SIGNS[self.word]

    @property
    def kind(self) -> str:
        """clean, relabelled or ambiguous: how the page colours it."""
        return self.word.partition(" ")[0]


@dataclass(frozen=True)
class Explanation:
    """What is known of one image. lines: a row per class, the labels that are doubted most first.

    Each has `class`, `given` (yes, no, unknown), `p_wrong`, `verdict`, `weight`, `loss` and `why`, all as text. epochs:
    those whose steps managed labels; history: by class what each of them called the label; empty where none did.
    """

    id: str
    file: str
    split: str
    labels: list[str]
    true: list[str] | None
    lines: list[dict[str, str]]
    notes: list[str]
    picture: Path | None
    epochs: list[int] = field(default_factory=list)
    history: dict[str, list[EpochVerdict]] = field(default_factory=dict)

    @property
    def span(self) -> str:
        """The managed epochs, first to last."""
        return f"{self.epochs[0]}-{self.epochs[-1]}" if self.epochs else ""

    def text(self) -> str:
        """In plain text."""
        head = [f"{self.id} ({self.split})", *([f"file: {self.file}"] if self.file else [])]
        head.append(f"given: {', '.join(self.labels) or 'no label'}")
        if self.true is not None:
            head.append(f"truly: {', '.join(self.true) or 'no label'}")
        names = ["class", "given", "p_wrong", "loss", "verdict", "weight"]
        rows = [names, *([line[name] for name in names] for line in self.lines)]
        if self.epochs:
            rows[0] = [*names, f"epochs {self.span}"]
            for row, line in zip(rows[1:], self.lines, strict=True):
                row.append("".join(own.sign for own in self.history[line["class"]]))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        reasons = [f"{line['class']}: {line['why']}" for line in self.lines if line["why"]]
        return "\n".join([*head, "", *table, "", *reasons, *self.notes])

    def page(self) -> str:
        """As one HTML page with the picture in it; text of the data is escaped."""
        folder = FileSystemLoader(Path(__file__).parent)
        template = Environment(loader=folder, autoescape=True, undefined=StrictUndefined).get_template(
            "explain.html.j2"
        )
        return template.render(own=self, picture=_embedded(self.picture))


def explain(run: LabelledRun, id_: str) -> Explanation:
    """What is known of the image with this id; InputError if there is none with labels."""
    split, row = _find(run, id_)
    scored = read_scored(run, split)
    given_K = run.given(split)[row]
    judged = {own["class"]: own for own in scored.frame[scored.frame["row"] == row].to_dict("records")}
    verdicts = _verdicts(run, id_) if split == "train" else {}
    losses_K = _losses(run, split, row)
    reviewed = set(run.rows(split).loc[id_].get("reviewed", []))
    lines = []
    for column, name in enumerate(run.classes):
        own, verdict = judged.get(name), verdicts.get(name, {})
        lines.append(
            {
                "class": name,
                "given": {1: "yes", 0: "no"}.get(int(given_K[column]), "unknown"),
                "p_wrong": "" if own is None or own["p_wrong"] != own["p_wrong"] else share(own["p_wrong"]),
                "loss": "" if losses_K is None else f"{losses_K[column]:.3f}",
                "verdict": "reviewed" if name in reviewed else str(verdict.get("verdict", "")),
                "weight": f"{verdict['weight']:.2f}" if verdict else "",
                "why": "" if own is None else why(scored, own),
            }
        )
    order = {name: own["quality"] for name, own in judged.items()}
    lines.sort(key=lambda line: order.get(line["class"], float("inf")))
    epochs, history = _history(run, id_) if split == "train" else ([], {})
    true_NK = run.true(split)
    root = run.image_root
    file = "" if root is None else str(run.rows(split).loc[id_, "path"])
    return Explanation(
        id_,
        file,
        split,
        [name for name, value in zip(run.classes, given_K, strict=True) if value == 1],
        None if true_NK is None else [name for name, value in zip(run.classes, true_NK[row], strict=True) if value],
        lines,
        _notes(scored, bool(verdicts), bool(epochs)),
        None if root is None else root / file,
        epochs,
        history,
    )


def _find(run: LabelledRun, id_: str) -> tuple[str, int]:
    for split in run.splits():
        ids = run.manifest.ids(split)
        if id_ in ids:
            return split, ids.index(id_)
    known = [name for split in run.splits() for name in run.manifest.ids(split)]
    raise InputError(
        "ID", f'no image "{id_}" that has labels', quoted(known), f"correct it.{nearest(id_, known[:5000])}"
    )


def _verdicts(run: LabelledRun, id_: str) -> dict[str, dict[str, Any]]:
    """What training called the labels of an image, by class; a given negative that is clean is not listed."""
    path = run.folder / "verdicts.parquet"
    if not path.is_file():
        return {}
    table = pd.read_parquet(path, filters=[("id", "==", id_)])
    return {str(row["class"]): {str(name): cell for name, cell in row.items()} for row in table.to_dict("records")}


def _history(run: LabelledRun, id_: str) -> tuple[list[int], dict[str, list[EpochVerdict]]]:
    """The managed epochs, and by class what each called the label of an image; empty where nothing was managed."""
    path = run.folder / VERDICT_HISTORY
    if not path.is_file():
        return [], {}
    try:
        epochs, words = read_image_history(path, id_)
        clean = [WORDS[0]] * len(epochs)
        history = {
            name: [EpochVerdict(*own) for own in zip(epochs, words.get(name, clean), strict=True)]
            for name in run.classes
        }
        known = all(own.word in SIGNS for verdicts in history.values() for own in verdicts)
    except (OSError, ValueError, LookupError) as error:
        known, found = False, f"not readable: {' '.join(str(error).split())[:200]}"
    else:
        found = f"holds other verdicts than {', '.join(WORDS)}"
    if not known:
        raise InputError(str(path), found, "what the stage train writes", "run it again: dvc repro train")
    return epochs, history if epochs else {}


def _losses(run: LabelledRun, split: str, row: int) -> Any:
    """The final network's loss of every label of an image; None where no network was trained."""
    if not (run.folder / MODEL / "model.safetensors").is_file():
        return None
    return network_scores(run, split, run.given(split))[0][row]


def _notes(scored: Scored, has_verdicts: bool, has_epochs: bool) -> list[str]:
    judge = (
        "p_wrong and the reason are the audit's, by models that never saw the label"
        if scored.judged_by == AUDIT
        else "p_wrong and the reason are the trained network's, by the mixtures of the last epoch (eq. 6-8)"
    )
    verdict = "; the verdict is training's at the end, a clean negative without one" if has_verdicts else ""
    signs = ", ".join(f"{sign} {word}" for word, sign in SIGNS.items())
    history = f"Verdicts in the steps of each epoch: {signs}."
    return [f"{judge}{verdict}.", *([history] if has_epochs else [])]


def _embedded(path: Path | None) -> str:
    """The picture as a data URL; "" where there is none that can be shown."""
    if path is None:
        return ""
    try:
        image = decode(path, at_least=_SIDE)
    except UnusableImageError:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
