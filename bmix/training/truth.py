"""How right the verdicts of an epoch's steps were, if the true labels are known; no recipe sees it."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.refine import CLEAN, RELABELLED, VERDICT_NAMES
from bmix.training.ranks import Ranks

_SCORES = ("clean_precision", "clean_recall", "relabel_precision", "relabel_recall")
TRUTH_COLUMNS = [*_SCORES, *(f"{name}_positives" for name in _SCORES)]
"""Of all labels, and of the given positives."""

UNKNOWN = -1
_CODES = 2 * 2 * 2 * len(VERDICT_NAMES)


class TruthTotals:
    """Counts of an epoch's labels by verdict, given, refined and true value, kept on the device until the epoch ends.

    true_NK: int8 (N, K) of 0, 1 and UNKNOWN, which is not counted; None if the truth is unknown: nothing is counted.
    """

    def __init__(self, true_NK: Tensor | None) -> None:
        self._true_NK = true_NK
        self._counts: list[Tensor] = []

    def add(self, rows_B: Tensor, given_BK: Tensor, refined_BK: Tensor | None, verdict_BK: Tensor | None) -> None:
        """Count the labels of one step's random images; nothing where labels are not managed."""
        if self._true_NK is None or verdict_BK is None or refined_BK is None:
            return
        true_BK = self._true_NK[rows_B]
        codes = ((verdict_BK.long() * 2 + given_BK.long()) * 2 + refined_BK.long()) * 2 + true_BK
        codes = codes.masked_fill(true_BK == UNKNOWN, UNKNOWN).flatten()
        # By comparing, since counting into bins would have a GPU and the CPU wait for each other.
        every_code = torch.arange(_CODES, device=codes.device)
        self._counts.append((codes == every_code[:, None]).sum(dim=1))

    def sum_up(self, ranks: Ranks) -> dict[str, float | None]:
        """Over the steps and processes the scores of `truth_scores`; None each where nothing was counted."""
        if not self._counts:
            return dict.fromkeys(TRUTH_COLUMNS)
        counts = torch.stack(self._counts).sum(dim=0)
        ranks.sum_(counts)
        return truth_scores(counts)


def truth_scores(counts: Tensor) -> dict[str, float | None]:
    """Precision and recall of clean selection and of re-labelling; None if a denominator is 0.

    counts: (24,) labels by verdict, given, refined and true value, the last one fastest. Clean selection looks for
    labels whose given value is true; re-labelling for labels whose given value is wrong, and a re-labelled one is right
    if its refined value is true, also where that is the given one: precision is the share of right ones among the
    re-labelled, recall the share of wrong labels that are re-labelled to the truth.
    """
    table = counts.view(len(VERDICT_NAMES), 2, 2, 2).cpu().numpy()
    scores: dict[str, float | None] = {}
    for suffix, among in (("", table), ("_positives", table[:, 1:])):
        # By verdict, given, refined, true.
        positives = among[:, -1]
        right = positives[..., 1].sum(axis=1)
        wrong = positives[..., 0].sum(axis=1)
        mended, repeated = positives[RELABELLED, 0, 0], positives[RELABELLED, 1, 1]
        if among.shape[1] == 2:
            negatives = among[:, 0]
            right = right + negatives[..., 0].sum(axis=1)
            wrong = wrong + negatives[..., 1].sum(axis=1)
            mended, repeated = mended + negatives[RELABELLED, 1, 1], repeated + negatives[RELABELLED, 0, 0]
        scores |= {
            f"clean_precision{suffix}": _ratio(right[CLEAN], right[CLEAN] + wrong[CLEAN]),
            f"clean_recall{suffix}": _ratio(right[CLEAN], right.sum()),
            f"relabel_precision{suffix}": _ratio(mended + repeated, right[RELABELLED] + wrong[RELABELLED]),
            f"relabel_recall{suffix}": _ratio(mended, wrong.sum()),
        }
    return {name: scores[name] for name in TRUTH_COLUMNS}


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
