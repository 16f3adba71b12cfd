"""The model card: what a model was made from, what it can do and where it must not be trusted, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bmix.evaluation.calibration import FittedCalibration
from bmix.evaluation.origin import Origin
from bmix.evaluation.results import Evaluation
from bmix.figures.tables import GROUPS, TEMPLATES, Table, percent, top1_table
from bmix.models.spec import ClassifierSpec
from bmix.support.errors import quoted, shortened

FEW_HELD_OUT = 10
"""Held-out positives below which a threshold says little."""
_MARKUP = re.compile(r"[\\`*_\[\]<>#|~&]")


def render_card(evaluation: Evaluation, spec: ClassifierSpec, origin: Origin, warnings: Sequence[str] = ()) -> str:
    """The card as Markdown. warnings: what `cautions` found. Equal results give equal text: no date and no path."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["markdown"] = markdown
    fitted = evaluation.calibration
    text = environment.get_template("card.md.j2").render(
        spec=spec,
        takes="images" if spec.features is None else f"vectors of {spec.features:,} features",
        example='"image.jpg"' if spec.features is None else "features",
        recipe=origin.recipe,
        epochs=len(evaluation.record.history),
        splits=_splits(origin),
        source=f"Source: `{origin.source}`.",
        imbalance=_imbalance(origin),
        noise=_noise(evaluation, origin),
        means=_means(evaluation),
        top1=top1_table(evaluation),
        classes=_classes(evaluation),
        split=evaluation.split,
        fitted=fitted,
        aimed="" if fitted is None else f"a precision of {fitted.aimed:g}" if fitted.aimed else "the best F1",
        errors=None if fitted is None else _errors(fitted),
        limits=[*map(markdown, warnings), *_limits(evaluation, spec)],
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def markdown(cell: Any) -> str:
    """Text in which nothing is markup, on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(cell).split())) if isinstance(cell, str) else str(cell)


def _splits(origin: Origin) -> Table:
    rows = []
    for split, images in origin.images.items():
        labels = origin.labels_per_image.get(split)
        rows.append([split, f"{images:,}", "–" if labels is None else f"{labels:.2f}"])
    return Table(["split", "images", "labels per image"], rows)


def _imbalance(origin: Origin) -> str:
    if origin.imbalance is None:
        return ""
    return f"The most frequent class has {origin.imbalance:,.1f} times the positives of the rarest."


def _noise(evaluation: Evaluation, origin: Origin) -> list[str]:
    found = []
    if origin.noise != "none":
        found.append(
            f"Noise of the kind `{origin.noise}` was injected into the training labels: it removed "
            f"{percent(origin.removed)} % of the true positives and added {origin.added:,} wrong ones."
        )
    if origin.wrong is not None:
        found.append(
            f"The audit (features: `{origin.audited_by}`) holds {percent(origin.wrong)} % of the given training "
            f"positives for wrong, and {percent(origin.missing, 2)} % of the absent labels for missing."
        )
    else:
        found.append("The labels were not audited: there were neither features nor weights to judge them with.")
    if not evaluation.record.managed:
        found.append("The recipe took every given label as right.")
        return found
    given = int(evaluation.labels.given_NK.sum())
    doubted = int((evaluation.labels.called_wrong & evaluation.labels.given_NK).sum())
    found.append(f"Training doubted {doubted:,} of {given:,} given positives.")
    if evaluation.noise is not None:
        scores = evaluation.noise.detection.query("criterion == 'called wrong' and among == 'all'").iloc[0]
        found.append(
            f"Of the labels that are known to be wrong it doubted {percent(scores['recall'])} %; "
            f"{percent(scores['precision'])} % of the doubted ones are wrong."
        )
    return found


def _means(evaluation: Evaluation) -> Table:
    rows = []
    for split in evaluation.ap:
        means = evaluation.means(split)
        rows.append([split, *(f"{percent(means[group])} ({means['classes'][group]})" for group in GROUPS)])
    return Table(["split", *GROUPS], rows)


def _classes(evaluation: Evaluation) -> Table:
    fitted, ap = evaluation.calibration, evaluation.ap[evaluation.split]
    rows = []
    for k, name in enumerate(evaluation.classes):
        row = [
            shortened(name),
            evaluation.groups[k],
            f"{evaluation.train_positives[k]:,}",
            percent(ap[k]),
        ]
        if fitted is not None:
            own = fitted.thresholds.iloc[k]
            row += [f"{own['threshold']:.3f}", percent(own["precision"]), percent(own["recall"])]
        rows.append(row)
    headings = ["class", "group", "positives", "AP"]
    return Table([*headings, *(["threshold", "precision", "recall"] if fitted else [])], rows)


def _errors(fitted: FittedCalibration) -> Table:
    headings = ["split", "cross-entropy before", "after", "calibration error before, %", "after, %"]
    rows = [
        [split, *(f"{value:.4f}" for value in measured.nll), *(percent(value, 2) for value in measured.ece)]
        for split, measured in fitted.measured.items()
    ]
    return Table(headings, rows)


def _limits(evaluation: Evaluation, spec: ClassifierSpec) -> list[str]:
    found = []
    if spec.features is None:
        size = spec.image_size
        found.append(f"Images are read as squares of {size} x {size} pixels; the aspect ratio is not kept.")
    found.append("It was measured on images like those it was trained on; elsewhere these figures do not hold.")
    found.append("It knows no class but those listed above, and says nothing about others.")
    ap = evaluation.ap[evaluation.split]
    unmeasured = [name for name, value in zip(evaluation.classes, ap, strict=True) if value != value]
    if unmeasured:
        found.append(f"Not measured, for want of a positive in {evaluation.split}: {markdown(quoted(unmeasured))}.")
    if evaluation.calibration is not None:
        held_out = evaluation.calibration.thresholds["positives"].tolist()
        few = [name for name, count in zip(evaluation.classes, held_out, strict=True) if count < FEW_HELD_OUT]
        if few:
            split = evaluation.calibration.split
            found.append(
                f"Thresholds that rest on fewer than {FEW_HELD_OUT} positives of {split}: {markdown(quoted(few))}."
            )
    return found
