"""The model gate: a candidate takes the champion's place only if it is not worse by more than was allowed."""

from __future__ import annotations

from collections.abc import Mapping

from bmix.params import RetrainParams
from bmix.retraining.bootstrap import Difference
from bmix.retraining.findings import Finding, in_percent

Comparison = Mapping[str, Difference]
"""Of the group of classes, all, many, medium or few, the difference between the two models."""


def judge_model(comparisons: Mapping[str, Comparison], limits: RetrainParams) -> list[Finding]:
    """The findings on every group of classes of every test split on which both models were measured.

    comparisons: by what the split is called. A group is refused if the candidate probably loses more than it may: if
    the share of the resamples in which it does reaches `limits.risk`.
    """
    return [
        _finding(f"mAP {group}, {split}", difference, limits.worse if group == "all" else limits.worse_group, limits)
        for split, comparison in comparisons.items()
        for group, difference in comparison.items()
    ]


def _finding(what: str, difference: Difference, loss: float, limits: RetrainParams) -> Finding:
    low, high = difference.interval()
    told = f"{in_percent(difference.candidate)} ({100 * low:+.1f} to {100 * high:+.1f})"
    return Finding(
        what,
        in_percent(difference.champion),
        told,
        in_percent(-loss, signed=True),
        difference.risk(loss) < limits.risk,
    )
