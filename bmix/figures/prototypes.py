"""The figure of the affinity head's prototypes: where the classes lie, and how near to each other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bmix.evaluation.prototypes import class_distances, prototype_table
from bmix.evaluation.results import DECIMALS, Evaluation
from bmix.figures.panels import WIDTH, Panel, Plot
from bmix.figures.per_class import some_of, spread
from bmix.figures.style import GROUP_COLOURS, INK, legend_below, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES, NAMED = 24, 14
"""Classes in the grid; classes whose names the first picture can hold."""


def prototypes(evaluation: Evaluation) -> Plot | None:
    """The prototypes on the plane that keeps most of their spread, and the distances of the classes."""
    found = evaluation.prototypes
    if found is None:
        return None
    classes = evaluation.classes
    shown = spread(np.argsort(-evaluation.train_positives, kind="stable"), MOST_CLASSES)
    panels = [Panel(partial(_draw_places, plane(found.places), evaluation))]
    if len(classes) > 1:
        distances = class_distances(found)[np.ix_(shown, shown)]
        panels.append(Panel(partial(_draw_distances, distances, [classes[k] for k in shown]), WIDTH, WIDTH))
    table = prototype_table(found, classes)
    nearest = table.sort_values("distance", kind="stable").iloc[0]
    pair = f"{short(nearest['class'])} and {short(nearest['nearest'])}"
    told = f"Nearest are {pair}, a squared distance of {nearest['distance']:.2f} σ."
    note = " ".join(part for part in (told if len(classes) > 1 else "", some_of(len(shown), len(classes))) if part)
    table = table.round(DECIMALS).dropna(axis="columns", how="all")
    return Plot(panels, table, names=classes, note=note)


def plane(places_KMC: np.ndarray) -> np.ndarray:
    """The prototypes on their first two principal components, float64 (K, M, 2); the signs do not vary."""
    classes, count, channels = places_KMC.shape
    flat = places_KMC.reshape(classes * count, channels)
    _, _, components = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    components = components[:2]
    # The sign of a component is arbitrary: its greatest entry is positive.
    greatest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(len(components)), greatest])[:, None]
    placed = np.zeros((classes * count, 2))
    placed[:, : len(components)] = (flat - flat.mean(axis=0)) @ components.T
    return placed.reshape(classes, count, 2)


def _draw_places(places_KM2: np.ndarray, evaluation: Evaluation, axes: Axes) -> None:
    for group, colour in GROUP_COLOURS.items():
        chosen = evaluation.groups == group
        if chosen.any():
            points = places_KM2[chosen].reshape(-1, 2)
            axes.scatter(points[:, 0], points[:, 1], color=colour, s=26, label=group)
    if len(places_KM2) <= NAMED:
        for name, (x, y) in zip(evaluation.classes, places_KM2.mean(axis=1), strict=True):
            axes.annotate(short(name), (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8, color=INK)
    axes.margins(0.12)
    axes.set(title="Prototypes, on a plane", xlabel="first component", ylabel="second component")
    legend_below(axes, columns=3)


def _draw_distances(distances: np.ndarray, classes: list[str], axes: Axes) -> None:
    off = ~np.eye(len(classes), dtype=bool)
    axes.imshow(np.where(off, distances, np.nan), cmap="viridis", vmin=0, aspect="equal")
    names, places = [short(name, 16) for name in classes], np.arange(len(classes))
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(title="Squared distance, in σ")
    if len(classes) <= NAMED:
        for i, j in np.argwhere(off):
            colour = "white" if distances[i, j] < 0.5 * distances.max() else INK
            axes.text(j, i, f"{distances[i, j]:.1f}", ha="center", va="center", fontsize=7, color=colour)
