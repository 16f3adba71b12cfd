"""What the verdicts found: detection and repair of wrong labels where the truth is known, and the labels to look at.

A label is CALLED WRONG when it is ambiguous, or re-labelled to the other value. A label that is not clean but
re-labelled to the value it had counts as called right, since the model confirms it; the wider criterion is `not clean`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bmix.evaluation.metrics import average_precision
from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED, VERDICT_NAMES
from bmix.support.errors import InputError

VERDICTS = [VERDICT_NAMES[code] for code in sorted(VERDICT_NAMES)]
AMONG = {"all": slice(None), "positives": slice(1, 2), "negatives": slice(0, 1)}
"""The given labels that a row of a score table is about, as a slice of the given value."""


@dataclass(frozen=True)
class LabelVerdicts:
    """The closing verdict on every label of the training set, (N, K) each, rows as in `ids`, columns as in `classes`.

    given, refined: bool. verdict: uint8, 0 clean, 1 relabelled, 2 ambiguous. p_clean: float64, and log_odds, its
    log-odds, which do not saturate: NaN where verdicts.parquet has no row, a clean given negative, of which only
    p_clean > 0.5 is known. ignored: bool, the cells that are neither present nor absent, which no table or score below
    counts; None for none.
    """

    ids: list[str]
    classes: list[str]
    given_NK: np.ndarray
    refined_NK: np.ndarray
    verdict_NK: np.ndarray
    p_clean_NK: np.ndarray
    log_odds_NK: np.ndarray
    ignored_NK: np.ndarray | None = None

    @property
    def called_wrong(self) -> np.ndarray:
        """Ambiguous, or re-labelled to the other value; bool."""
        return (self.verdict_NK == AMBIGUOUS) | (self.refined_NK != self.given_NK)


def place_verdicts(
    verdicts: pd.DataFrame,
    ids: list[str],
    classes: list[str],
    given_NK: np.ndarray,
    ignored_NK: np.ndarray | None = None,
    where: str = "verdicts.parquet",
) -> LabelVerdicts:
    """Put the rows of verdicts.parquet into matrices; a label without a row is a clean negative.

    Raises:
        InputError: an id or class that is not in the lists, two rows for a label, a given value or a kept value that
            contradicts `given_NK`, an unknown verdict, or a given positive without a row.
    """
    given_NK = np.asarray(given_NK).astype(bool)
    rows = _positions(verdicts["id"], ids, where, "image id of the training split")
    columns = _positions(verdicts["class"], classes, where, "class")
    codes = _positions(verdicts["verdict"], VERDICTS, where, "verdict")
    covered_NK = np.zeros(given_NK.shape, np.int64)
    np.add.at(covered_NK, (rows, columns), 1)
    given = verdicts["given"].to_numpy().astype(bool)
    refined = verdicts["label"].to_numpy().astype(bool)
    faults = {
        "two rows for one label": covered_NK[rows, columns] > 1,
        "another given value than labels.parquet": given != given_NK[rows, columns],
        "another value without being relabelled": (codes != RELABELLED) & (given != refined),
    }
    for fault, faulty in faults.items():
        if faulty.any():
            first = verdicts.iloc[int(np.argmax(faulty))]
            raise _contradiction(where, f'{fault}: id "{first["id"]}", class "{first["class"]}"')
    if (covered_NK[given_NK] == 0).any():
        row, column = np.argwhere(given_NK & (covered_NK == 0))[0]
        raise _contradiction(where, f'no row for the given positive id "{ids[row]}", class "{classes[column]}"')
    refined_NK, verdict_NK = given_NK.copy(), np.zeros(given_NK.shape, np.uint8)
    p_clean_NK, log_odds_NK = np.full((2, *given_NK.shape), np.nan)
    refined_NK[rows, columns], verdict_NK[rows, columns] = refined, codes
    p_clean_NK[rows, columns], log_odds_NK[rows, columns] = verdicts["p_clean"], verdicts["log_odds"]
    return LabelVerdicts(ids, classes, given_NK, refined_NK, verdict_NK, p_clean_NK, log_odds_NK, ignored_NK)


def count_labels(labels: LabelVerdicts, true_NK: np.ndarray) -> np.ndarray:
    """The number of labels by class, true, given, verdict and refined value, int64 (K, 2, 2, 3, 2).

    All scores below are sums over it.
    """
    classes = labels.given_NK.shape[1]
    code_NK = np.arange(classes) * 2 + np.asarray(true_NK).astype(bool)
    code_NK = (code_NK * 2 + labels.given_NK) * len(VERDICTS) + labels.verdict_NK
    code_NK = code_NK * 2 + labels.refined_NK
    counted = code_NK.ravel() if labels.ignored_NK is None else code_NK[~labels.ignored_NK]
    counts = np.bincount(counted, minlength=classes * 8 * len(VERDICTS))
    return counts.reshape(classes, 2, 2, len(VERDICTS), 2)


def detection_scores(counts: np.ndarray) -> pd.DataFrame:
    """How well the verdicts point at wrong labels (given is not true).

    A row per `criterion` (`called wrong`, `not clean`) and `among` (all labels, given positives, given negatives) with
    the counts `labels`, `wrong`, `called`, `found` (called and wrong), and `precision`, `recall`, `f1`; NaN where a
    denominator is 0.
    """
    rows = []
    for criterion in ("called wrong", "not clean"):
        for among in AMONG:
            total = _by_wrong(counts, among)
            called = _called(total, criterion)
            rows.append([criterion, among, total.sum(), total[1].sum(), called.sum(), called[1]])
    scores = pd.DataFrame(rows, columns=["criterion", "among", "labels", "wrong", "called", "found"])
    return scores.assign(
        precision=_share(scores["found"], scores["called"]),
        recall=_share(scores["found"], scores["wrong"]),
        f1=_share(2 * scores["found"], scores["called"] + scores["wrong"]),
    )


def repair_scores(counts: np.ndarray) -> pd.DataFrame:
    """What the refined labels repair and damage.

    A row per `among` (all labels, given positives, given negatives) with the counts `labels`, `wrong`, `repaired`
    (wrong, refined to the truth), `broken` (right, refined away from it), and the shares `repaired_share` of the wrong,
    `broken_share` of the right, `wrong_before` and `wrong_after` of the row's labels; NaN where a denominator is 0.
    """
    rows = []
    for among in AMONG:
        moved = _by_wrong(counts, among).sum(axis=1)
        rows.append([among, moved.sum(), moved[1].sum(), moved[1, 1], moved[0, 1]])
    scores = pd.DataFrame(rows, columns=["among", "labels", "wrong", "repaired", "broken"])
    return scores.assign(
        repaired_share=_share(scores["repaired"], scores["wrong"]),
        broken_share=_share(scores["broken"], scores["labels"] - scores["wrong"]),
        wrong_before=_share(scores["wrong"], scores["labels"]),
        wrong_after=_share(scores["wrong"] - scores["repaired"] + scores["broken"], scores["labels"]),
    )


def ranking_scores(labels: LabelVerdicts, true_NK: np.ndarray) -> dict[str, float]:
    """How well the log-odds of p_clean rank the wrong given positives below the right ones: `average_precision`,
    `roc_auc`.

    Given positives only, since every one of them has a row in verdicts.parquet, and clean negatives have none. NaN
    where no given positive is wrong (both), or all are (roc_auc).
    """
    doubt = -labels.log_odds_NK[labels.given_NK]
    wrong = ~np.asarray(true_NK).astype(bool)[labels.given_NK]
    right_doubt = np.sort(doubt[~wrong])
    below, not_above = (np.searchsorted(right_doubt, doubt[wrong], side=side) for side in ("left", "right"))
    pairs = int(wrong.sum()) * len(right_doubt)
    auc = float((below + not_above).sum() / 2 / pairs) if pairs else float("nan")
    return {"average_precision": float(average_precision(doubt[:, None], wrong[:, None])[0]), "roc_auc": auc}


def transition_counts(counts: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Labels by `class`, `true`, `given` and `refined` value with their `count`: eight rows per class."""
    index = pd.MultiIndex.from_product([classes, [0, 1], [0, 1], [0, 1]], names=["class", "true", "given", "refined"])
    return pd.Series(counts.sum(axis=3).ravel(), index=index, name="count").reset_index()


def outcome_counts(counts: np.ndarray) -> np.ndarray:
    """Labels by class, true and given value, and outcome, int64 (K, 2, 2, 3).

    Outcomes: 0 ends right with full weight, 1 ambiguous (keeps its value, counts less), 2 ends wrong with full weight.
    """
    full = counts[:, :, :, [CLEAN, RELABELLED]].sum(axis=3)
    right = np.stack([full[:, 0, :, 0], full[:, 1, :, 1]], axis=1)
    wrong = np.stack([full[:, 0, :, 1], full[:, 1, :, 0]], axis=1)
    return np.stack([right, counts[:, :, :, AMBIGUOUS].sum(axis=-1), wrong], axis=-1)


def mislabelling_moves(given_NK: np.ndarray, true_NK: np.ndarray) -> np.ndarray:
    """How often true class i was replaced by given class j, float64 (K, K).

    A wrong given positive j is shared evenly among the classes that its image truly shows and that are not given; a
    wrong positive in an image that lost no class replaces none and is not counted.
    """
    given_NK, true_NK = np.asarray(given_NK).astype(bool), np.asarray(true_NK).astype(bool)
    lost_NK = (true_NK & ~given_NK).astype(np.float64)
    lost_NK /= np.maximum(lost_NK.sum(axis=1, keepdims=True), 1)
    return lost_NK.T @ (given_NK & ~true_NK).astype(np.float64)


def verdict_shares(labels: LabelVerdicts) -> pd.DataFrame:
    """The share of every verdict per `class` and `given` value.

    Columns: `labels` (count), `clean`, `relabelled`, `ambiguous`, and `changed` (re-labelled to the other value); NaN
    where a class has no such label.
    """
    counts = count_labels(labels, labels.given_NK).sum(axis=1)
    rows = []
    for k, name in enumerate(labels.classes):
        for given in (0, 1):
            total = counts[k, given].sum()
            changed = counts[k, given, :, 1 - given].sum()
            shares = [_ratio(number, total) for number in [*counts[k, given].sum(axis=1), changed]]
            rows.append([name, given, total, *shares])
    return pd.DataFrame(rows, columns=["class", "given", "labels", *VERDICTS, "changed"])


def _positions(values: pd.Series, known: list[str], where: str, what: str) -> np.ndarray:
    positions = pd.Index(known, dtype=object).get_indexer(pd.Index(values, dtype=object))
    if (positions < 0).any():
        raise _contradiction(where, f'"{values.iloc[int(np.argmin(positions))]}" is no {what}')
    return positions


def _contradiction(where: str, found: str) -> InputError:
    return InputError(
        where, found, "the verdicts on the labels of data/noisy/labels.parquet", "run the stages from noise on again"
    )


def _by_wrong(counts: np.ndarray, among: str) -> np.ndarray:
    """The labels `among` by wrong (given is not true), verdict and changed (refined is not given), (2, 3, 2)."""
    by_wrong = np.zeros((2, *counts.shape[3:]), np.int64)
    for given in range(2)[AMONG[among]]:
        for true in range(2):
            by_refined = counts[:, true, given].sum(axis=0)
            by_wrong[int(true != given)] += by_refined[:, ::-1] if given else by_refined
    return by_wrong


def _called(by_wrong: np.ndarray, criterion: str) -> np.ndarray:
    """The labels that the criterion points at, by wrong (0/1)."""
    if criterion == "not clean":
        return by_wrong[:, [RELABELLED, AMBIGUOUS]].sum(axis=(1, 2))
    return by_wrong[:, AMBIGUOUS].sum(axis=1) + by_wrong[:, RELABELLED, 1]


def _share(part: pd.Series, whole: pd.Series) -> pd.Series:
    return part / whole.where(whole != 0)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
