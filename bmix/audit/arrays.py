"""The audit as one call on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmix.arrays import as_array
from bmix.audit.duplicates import copies
from bmix.audit.folds import stratified_folds
from bmix.audit.labels import LabelAudit, judge
from bmix.audit.ridge import OutOfFold, blocks_of, out_of_fold_scores
from bmix.randomness import numpy_generator
from bmix.support.errors import InputError

FOLDS = 5
ALIKE = 0.98
"""Cosine of standardised features from which two rows count as copies of one image."""


def audit_labels(
    features: Any, given: Any, folds: int = FOLDS, seed: int = 0, class_names: list[str] | None = None
) -> LabelAudit:
    """Judge given labels by ridge regressions on features, each row by models that never saw it.

    features: (N, D), array or tensor, or (N, V, D) of which view 0 is used; they must not have been learnt from these
    labels. given: (N, K) of 1, 0, and -1 for unknown. class_names: None names them by number.
    Rows that are nearly copies of each other lie in one fold. Equal input gives equal results.
    Raises InputError for other shapes or values, features that are not finite, and fewer rows than folds.
    """
    features_ND, given_NK = _checked(features, given, folds)
    found = scores_of(features_ND, given_NK, folds, seed)
    names = class_names or [str(k) for k in range(given_NK.shape[1])]
    return judge(found.scores_NK, given_NK, found.auc_K, names)


def scores_of(features_ND: np.ndarray, given_NK: np.ndarray, folds: int, seed: int) -> OutOfFold:
    """The out-of-fold scores behind `audit_labels`, and the models that made them."""
    fold_N = folds_of(features_ND, given_NK, folds, numpy_generator(seed, "audit"))
    return out_of_fold_scores(blocks_of(features_ND), given_NK, fold_N)


def folds_of(features_ND: np.ndarray, given_NK: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold in 0..folds-1 for each row, int64 (N,): every class spread over all, near copies in one."""
    # No group may fill half a fold: folds could not be even.
    groups_N = copies(standardised(features_ND), ALIKE, max(2, len(features_ND) // (2 * folds)), rng)
    return stratified_folds(given_NK, folds, rng, groups_N)


def standardised(features_ND: np.ndarray, of: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Features as float32 with mean 0 and variance 1 over the rows `of`; one that never changes there is 0."""
    deviation_D = features_ND[of].std(axis=0, dtype=np.float64)
    mean_D = features_ND[of].mean(axis=0, dtype=np.float64)
    return ((features_ND - mean_D) / np.where(deviation_D > 0, deviation_D, 1)).astype(np.float32)


def _checked(features: Any, given: Any, folds: int) -> tuple[np.ndarray, np.ndarray]:
    features_ND, given_NK = as_array(features), as_array(given)
    if features_ND.ndim == 3:
        features_ND = features_ND[:, 0]
    if features_ND.ndim != 2 or given_NK.ndim != 2 or len(features_ND) != len(given_NK):
        found = f"features {features_ND.shape} beside given labels {given_NK.shape}"
        raise InputError("audit_labels", found, "(N, D) or (N, V, D), and (N, K)", "pass a row for each instance")
    if not np.isin(given_NK, (-1, 0, 1)).all():
        raise InputError("audit_labels", "a given label other than 1, 0 and -1", "these", "turn the labels into them")
    if not np.isfinite(features_ND).all():
        raise InputError("audit_labels", "a feature that is not finite", "finite numbers", "leave out or mend the row")
    if not 2 <= folds <= len(given_NK):
        found = f"{folds} folds of {len(given_NK)} rows"
        raise InputError("audit_labels", found, "at least 2 folds, and a row for each", "change folds")
    return features_ND, given_NK.astype(np.int8)
