"""Can losses tell wrong labels from right ones? A file of features with `given` and `true` labels, class by class.

`python -m benchmarks.real_noise FILE.npz` prints, in percent, how many of a class's given positives are wrong; the
other class whose images carry them most often, and how often; and how well a linear model of the GIVEN labels, asked
out of fold, ranks right above wrong ones (area under the ROC curve; 50 is a guess). Then the same for noise by bmix.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bmix.noise import inject
from bmix.randomness import numpy_generator
from bmix.sources.features.npz import open_npz
from bmix.support import console

FOLDS = 3
STRENGTH = 0.01
"""Inverse regularisation of the linear model."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_noise", description=__doc__)
    parser.add_argument("features", type=Path)
    path = parser.parse_args().features
    with open_npz(path) as archive:
        features_ND, given_NK, true_NK = (archive.read(name) for name in ("X", "given", "true"))
    print(class_table(features_ND, given_NK, true_NK).round(1).to_string(index=False))
    wrong = (given_NK == 1) & (true_NK == 0)
    rate = float(wrong.sum() / given_NK.sum())
    injected_NK = inject(true_NK, "mislabel", rate, numpy_generator(0, "injected"))
    print(f"\nthe same share, {100 * rate:.1f} % of the positives, moved at random by bmix (noise.kind: mislabel)")
    print(class_table(features_ND, injected_NK, true_NK).round(1).to_string(index=False))


def class_table(features_ND: np.ndarray, given_NK: np.ndarray, true_NK: np.ndarray) -> pd.DataFrame:
    """A row per class; labels of 0 and 1, (N, K) each. NaN where a class has no wrong or no right given positive."""
    rows, classes = [], given_NK.shape[1]
    for k in range(classes):
        given_N, right_N = given_NK[:, k] == 1, true_NK[:, k] == 1
        wrong_N = given_N & ~right_N
        # Of each other class's images, how many carry this label wrongly.
        share_J = np.array([wrong_N[true_NK[:, j] == 1].mean() if true_NK[:, j].any() else 0 for j in range(classes)])
        confidence_N = _out_of_fold(features_ND, given_N)
        both = wrong_N.any() and (given_N & right_N).any()
        area = roc_auc_score(right_N[given_N], confidence_N[given_N]) if both else np.nan
        rows.append(
            {
                "class": k + 1,
                "given": int(given_N.sum()),
                "wrong": 100 * wrong_N.sum() / given_N.sum(),
                "most in images of": int(share_J.argmax()) + 1,
                "of these": 100 * share_J.max(),
                "ROC area": 100 * area,
            }
        )
    return pd.DataFrame(rows)


def _out_of_fold(features_ND: np.ndarray, given_N: np.ndarray) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=500))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return cross_val_predict(model, features_ND, given_N, cv=folds, method="predict_proba")[:, 1]


if __name__ == "__main__":
    console.run(main)
