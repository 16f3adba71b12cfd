"""How many given labels are wrong, from the tails of the out-of-fold scores, without a model of their shape.

Of the given positives of a class a share w is truly absent. Scored out of fold, such an image cannot be told from a
given negative, so a share w·q of the given positives lies below the score under which a share q of the given negatives
lies, and besides only those right positives that score as low. Where hardly any do, F1(q) / q is w: the ratio of the
tails, as in mixture proportion estimation (Blanchard, Lee, Scott 2010; Scott, Blanchard, Handy 2013). The other tail
gives the missing ones among the given negatives in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, betaln

TAILS = np.linspace(0.1, 0.95, 18)
"""Shares of the other side that the tail may hold; a narrower one holds the odd ones of them, of which none is hit."""
PRIORS = np.geomspace(2, 512, 9)
"""How many labels the share over all classes may count for in each class."""
LARGEST = 0.98
CAUTION = 3.0
"""Added to a tail's count, with its error, where tails are compared, so that an empty one does not win by chance."""
INTERVAL = 0.95


@dataclass(frozen=True)
class Shares:
    """Per class the share of one given value that is wrong, float64 (K,): estimate and 95 % interval."""

    wrong_K: np.ndarray
    low_K: np.ndarray
    high_K: np.ndarray


def wrong_positives(scores_NK: np.ndarray, given_NK: np.ndarray) -> Shares:
    """The shares of wrong labels among the given positives, from out-of-fold scores (N, K).

    given_NK: 1, 0, other values are left out, and so, of several classes, are rows without a given positive. One tail,
    the one whose ratio has the smallest upper bound over all classes together, serves every class; a class's own ratio
    is drawn to that of all classes by as many labels as the spread between the classes suggests (empirical Bayes,
    beta-binomial).
    """
    # Noise that moves a label to another class never hits an image without any, whose scores are the lowest besides.
    labelled_N = (given_NK == 1).any(axis=1) | (given_NK.shape[1] == 1)
    tails = _Tails.of(scores_NK[labelled_N], given_NK[labelled_N], value=1)
    return tails.shares(np.ones(scores_NK.shape[1]))


def wrong_negatives(scores_NK: np.ndarray, given_NK: np.ndarray) -> Shares:
    """The shares of missing labels among the given negatives, likewise.

    What the classes are taken to have in common is the number of missing positives for each given one.
    """
    tails = _Tails.of(-scores_NK, given_NK, value=0)
    return tails.shares(tails.others_K / np.maximum(tails.labels_K, 1))


@dataclass(frozen=True)
class _Tails:
    """How many labels of one value lie in each tail of the other value's scores: (K, TAILS); how many there are of
    the one and of the other, (K,)."""

    inside_KQ: np.ndarray
    labels_K: np.ndarray
    others_K: np.ndarray

    @classmethod
    def of(cls, scores_NK: np.ndarray, given_NK: np.ndarray, value: int) -> _Tails:
        classes = scores_NK.shape[1]
        inside_KQ, labels_K, others_K = np.zeros((classes, len(TAILS))), np.zeros(classes), np.zeros(classes)
        for k in range(classes):
            own, other = (scores_NK[given_NK[:, k] == wanted, k] for wanted in (value, 1 - value))
            labels_K[k], others_K[k] = len(own), len(other)
            if len(own) and len(other):
                inside_KQ[k] = np.searchsorted(np.sort(own), np.quantile(other, TAILS), side="right")
        return cls(inside_KQ, labels_K, others_K)

    def shares(self, scale_K: np.ndarray) -> Shares:
        """The shares of wrong labels; a class's share is expected to be `scale` times what all have in common."""
        base = float((self.labels_K * scale_K).sum())
        total_Q = self.inside_KQ.sum(axis=0)
        tail = int(((total_Q + np.sqrt(total_Q) + CAUTION) / TAILS).argmin())
        common = total_Q[tail] / max(base * TAILS[tail], 1)
        expected_K = np.clip(common * scale_K, 1e-6, LARGEST) * TAILS[tail]
        inside_K = self.inside_KQ[:, tail]
        worth_K = _strength(inside_K, self.labels_K, expected_K, scale_K) / np.maximum(scale_K, 1e-12)
        right_K = inside_K + worth_K * expected_K
        left_K = self.labels_K - inside_K + worth_K * (1 - expected_K)
        edge = (1 - INTERVAL) / 2
        low_K, high_K = (betaincinv(right_K, left_K, share) / TAILS[tail] for share in (edge, 1 - edge))
        wrong_K = np.minimum(right_K / (right_K + left_K) / TAILS[tail], LARGEST)
        return Shares(wrong_K, np.minimum(low_K, LARGEST), np.minimum(high_K, 1.0))


def _strength(inside_K: np.ndarray, labels_K: np.ndarray, expected_K: np.ndarray, scale_K: np.ndarray) -> float:
    """The prior weight under which the classes' counts are likeliest."""
    seen = labels_K > 0

    def likelihood(strength: float) -> float:
        worth_K = strength / np.maximum(scale_K[seen], 1e-12)
        first, second = worth_K * expected_K[seen], worth_K * (1 - expected_K[seen])
        return float(
            (betaln(first + inside_K[seen], second + (labels_K - inside_K)[seen]) - betaln(first, second)).sum()
        )

    return max(PRIORS, key=likelihood)
