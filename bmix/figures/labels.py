"""Figures of the labels: what became of wrong and right ones, and the images to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bmix.evaluation.results import Evaluation
from bmix.evaluation.verdicts import VERDICTS, mislabelling_moves, outcome_counts, suspects, verdict_shares
from bmix.figures.style import GREEN, GREY, INK, OUTCOME_COLOURS, RED, VERDICT_COLOURS, figure, legend_below, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHEET_IMAGES = 24
SHEET_COLUMNS = 6
THUMBNAIL = 160


def transition(evaluation: Evaluation, path: Path) -> bool:
    """What became of the labels, true → given → refined; where the truth is unknown, given → verdict.

    False for a recipe that manages no labels.
    """
    if not evaluation.record.managed:
        return False
    if evaluation.noise is None or evaluation.true is None:
        with figure(path, 9, 2.9) as drawn:
            _draw_verdicts(drawn.subplots(), evaluation)
        return True
    moves = mislabelling_moves(evaluation.labels.given_NK, evaluation.true)
    moved, count = moves.sum() > 0, len(moves)
    side = float(np.clip(3.4 + 0.13 * count, 4.8, 11))
    with figure(path, 8.5 + side * moved, max(4.6, side), evaluation.classes) as drawn:
        panels = drawn.subplots(1, 1 + moved, squeeze=False, width_ratios=[7.5, side] if moved else [1])[0]
        _draw_outcomes(panels[0], outcome_counts(evaluation.noise.counts).sum(axis=0))
        if moved:
            _draw_moves(panels[1], moves, evaluation.classes)
    return True


def _draw_outcomes(axes: Axes, outcomes: np.ndarray) -> None:
    rows = [
        ("truly present,\ngiven as present", outcomes[1, 1]),
        ("truly absent,\ngiven as present", outcomes[0, 1]),
        ("truly present,\ngiven as absent", outcomes[1, 0]),
        ("truly absent,\ngiven as absent", outcomes[0, 0]),
    ]
    names = ["ends right", "ambiguous: keeps its value, counts less", "ends wrong"]
    _draw_shares(axes, [(f"{row}\n{counts.sum():,} labels", counts) for row, counts in rows], names, OUTCOME_COLOURS)
    axes.set(title="What became of the labels: true → given → refined", xlabel="share of the labels in the row")
    # Beside a tall heat map the bars keep their own shape, at the top.
    axes.set_box_aspect(0.55)
    axes.set_anchor("N")


def _draw_verdicts(axes: Axes, evaluation: Evaluation) -> None:
    shares = verdict_shares(evaluation.labels)
    rows = []
    for given, word in ((1, "present"), (0, "absent")):
        of_value = shares[shares["given"] == given]
        counts = (of_value[VERDICTS].fillna(0).to_numpy() * of_value[["labels"]].to_numpy()).sum(axis=0).round()
        rows.append((f"given as {word}\n{counts.sum():,.0f} labels", counts))
    _draw_shares(axes, rows, VERDICTS, tuple(VERDICT_COLOURS[verdict] for verdict in VERDICTS))
    axes.set(title="The verdicts on the given labels", xlabel="share of the labels in the row")


def _draw_shares(
    axes: Axes, rows: Sequence[tuple[str, np.ndarray]], names: Sequence[str], colours: Sequence[str]
) -> None:
    counts = np.array([row for _, row in rows], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    places, left = np.arange(len(rows)), np.zeros(len(rows))
    for column, (name, colour) in enumerate(zip(names, colours, strict=True)):
        axes.barh(places, shares[:, column], left=left, height=0.62, color=colour, label=name)
        for row in np.flatnonzero(shares[:, column] >= 0.05):
            share, start = shares[row, column], left[row]
            axes.text(start + share / 2, float(row), _percent(share), ha="center", va="center", color=INK, fontsize=9)
        left += shares[:, column]
    axes.set_yticks(places, [label for label, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.grid(visible=False)
    legend_below(axes)


def _draw_moves(axes: Axes, moves: np.ndarray, classes: list[str]) -> None:
    count = len(classes)
    image = axes.imshow(np.where(moves > 0, moves, np.nan), cmap="viridis_r", vmin=0, aspect="equal")
    names = [short(name) for name in classes]
    size = 9 if count <= 20 else 6 if count <= 40 else 5
    axes.set_xticks(np.arange(count), names, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(count), names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(title="Which class was given for which", xlabel="wrongly given class", ylabel="true class, not given")
    if count <= 12:
        for i, j in np.argwhere(moves > 0.5):
            colour = "white" if moves[i, j] > 0.5 * moves.max() else INK
            axes.text(j, i, f"{moves[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.figure.colorbar(image, ax=axes, label="given positives", shrink=0.75, pad=0.02)


def suspect_sheet(evaluation: Evaluation, path: Path, image_paths: Sequence[Path]) -> bool:
    """The images whose given positives have the smallest p_clean; False where no given positive is called wrong.

    image_paths: the training images in the order of `evaluation.labels.ids`; empty where instances have no picture,
    and then there is no sheet either.
    """
    if not image_paths:
        return False
    table = suspects(evaluation.labels, given=1, limit=20 * SHEET_IMAGES, true_NK=evaluation.true)
    table = table.drop_duplicates("row").head(SHEET_IMAGES)
    if table.empty:
        return False
    columns = min(SHEET_COLUMNS, len(table))
    rows = -(-len(table) // columns)
    title = "Given labels that are most likely wrong"
    if evaluation.true is not None:
        title += "\n✓ the label is wrong indeed,  ✗ the label is right"
    with figure(path, max(1.9 * columns, 6), 2.6 * rows + 0.7, evaluation.classes) as drawn:
        drawn.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        panels = drawn.subplots(rows, columns, squeeze=False)
        for axes, suspect in zip(panels.flat, table.to_dict("records"), strict=False):
            _draw_suspect(axes, evaluation, suspect, image_paths[suspect["row"]])
        for axes in panels.flat[len(table) :]:
            axes.set_visible(False)
    return True


def _draw_suspect(axes: Axes, evaluation: Evaluation, suspect: dict, image_path: Path) -> None:
    axes.imshow(_thumbnail(image_path))
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    verdict = "re-labelled absent" if suspect["verdict"] == "relabelled" else "ambiguous"
    p_clean = f"= {suspect['p_clean']:.3f}" if suspect["p_clean"] >= 0.001 else "< 0.001"
    lines = [f"given {short(suspect['class'])}", f"p_clean {p_clean}", verdict]
    colour = GREY
    if evaluation.true is not None:
        shown = np.flatnonzero(evaluation.true[suspect["row"]])
        truth = ", ".join(evaluation.classes[k] for k in shown) or "none of the classes"
        wrong = suspect["true"] == 0
        lines.append(f"{'✓' if wrong else '✗'} truly {short(truth, 20)}")
        colour = GREEN if wrong else RED
    axes.set_xlabel("\n".join(lines), fontsize=8.5, linespacing=1.35)
    axes.spines[:].set(visible=True, color=colour, linewidth=2.5)


def _thumbnail(path: Path) -> np.ndarray:
    from bmix.data.images import load_image

    return load_image(path, THUMBNAIL).permute(1, 2, 0).numpy()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share < 0.995 else f"{100 * share:.4g} %"
