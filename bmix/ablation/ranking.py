"""The rank polygon of the paper's Figure 4: how methods rank under several views of robustness."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bmix.ablation.results import Results
from bmix.ablation.statistics import polygon_area, ranks

METHOD_VIEWS = {
    "clean": "no noise, all classes",
    "mislabel": "mean over the rates of mislabelling",
    "flip": "mean over the rates of random flipping",
    "missing": "a single positive label",
    "imbalance": "no noise, few-shot classes",
}
_METHODS = {"bce", "co-teaching", "asl", "t-estimator", "ll-r", "ll-ct", "balancemix"}
_KINDS = {"none": "clean", "mislabel": "mislabel", "flip": "flip", "single-positive": "missing"}
_FEWEST_VIEWS = 3


@dataclass(frozen=True)
class Ranking:
    """Ranks of the methods, 1 for the best, by view."""

    methods: list[str]
    views: list[str]
    ranks: dict[str, dict[str, float]]

    def area(self, method: str) -> float:
        """The area of a method's polygon, as a share of that of a method that is last everywhere."""
        worst = len(self.methods)
        return polygon_area([self.ranks[view][method] / worst for view in self.views]) / polygon_area(
            [1] * len(self.views)
        )


def rank_methods(results: Results) -> Ranking | None:
    """The ranks under the views that the table has settings for; None unless it has all methods and three views.

    A method with a hole is left out.
    """
    names = [row.name for row in results.grid.rows]
    if not set(names) >= _METHODS:
        return None
    kinds = {cell.setting: cell.params.noise.kind for cell in results.cells}
    scores: dict[str, dict[str, float]] = {}
    for view in METHOD_VIEWS:
        settings = [
            name for name, kind in kinds.items() if _KINDS.get(kind) == ("clean" if view == "imbalance" else view)
        ]
        group = "few" if view == "imbalance" else "all"
        if not settings or group not in results.grid.groups:
            continue
        found = {name: [results.mean(name, setting, group) for setting in settings] for name in names}
        whole = {name: [mean.mean for mean in means if mean is not None] for name, means in found.items()}
        scores[view] = {
            name: statistics.fmean(values) for name, values in whole.items() if len(values) == len(settings)
        }
    methods = [name for name in names if all(name in of_view for of_view in scores.values())]
    if len(scores) < _FEWEST_VIEWS or len(methods) < 2:
        return None
    ranked = {view: ranks({name: of_view[name] for name in methods}) for view, of_view in scores.items()}
    return Ranking(methods, list(ranked), ranked)
