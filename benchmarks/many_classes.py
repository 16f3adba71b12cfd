"""What the sampler and the mixtures of BalanceMix do at 80 and at 600 classes: real labels, simulated confidences.

`python -m benchmarks.many_classes LABELS.npz FOLDER` reads the label matrix of MS-COCO (`labels_packed`, bits along
axis 1, and `category_names`), prints the tables of docs/many-classes.md and writes each as a CSV into FOLDER.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, ndtr
from torch import Tensor

from bmix.method.mixture import fit_loss_mixtures
from bmix.method.refine import CLEAN, refine_labels
from bmix.method.sampling import RareLabels, class_confidence, instance_scores, sampling_probability
from bmix.noise import inject
from bmix.randomness import numpy_generator
from bmix.sources.features.npz import open_npz
from bmix.support import console
from bmix.support.files import write_csv

SHARPNESS = (0.0, 1.0, 4.0, 16.0, 64.0, 256.0)
GROUPS = (0, 10, 30, 100, 300, 1000, 10_000)
"""Least number of given positives of each group of classes."""
SEPARATION = {"early": (0.5, 0.4), "middle": (1.0, 0.7), "late": (2.0, 0.8)}
"""How far apart a class's scores of present and absent are: at 10 positives, and more for every ten times as many."""
RATE, EPSILON = 0.4, 0.975
CASE = ["classes", "model", "noise"]
SMALL = 300
SETTINGS: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "method.epsilon: 0.999": {"epsilon": 0.999},
    "method.relabel: false": {"relabel": False},
    "method.trust_positives: true": {"trust_positives": True},
}


@dataclass(frozen=True)
class Scene:
    """Labels, and what a model of a certain skill says of them."""

    true_NK: np.ndarray
    given_NK: np.ndarray
    confidence_NK: np.ndarray
    area_K: np.ndarray
    """The share of pairs, a present and an absent one, that the model ranks rightly (area under the ROC curve)."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_classes", description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    coco_NK = read_labels(arguments.labels)
    tables: dict[str, list[pd.DataFrame]] = {"sampler": [], "mixtures": [], "settings": []}
    for name, true_NK in {"80": coco_NK, "600": split_classes(coco_NK, 600, seed=0)}.items():
        for stage in SEPARATION:
            for noise in ("none", "mislabel"):
                scene = simulate(true_NK, noise, stage, seed=0)
                case, audited = {"classes": name, "model": stage, "noise": noise}, audit(scene)
                tables["mixtures"].append(mixture_table(scene, audited).assign(**case))
                tables["settings"].append(settings_table(audited).assign(**case))
                if noise == "mislabel":
                    tables["sampler"].append(sampler_table(scene).assign(**case))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for title, parts in tables.items():
        table = pd.concat(parts, ignore_index=True)
        table = table[[*CASE, *table.columns.drop(CASE)]]
        write_csv(arguments.folder / f"{title}.csv", table)
        print(f"{title}\n\n{markdown(table)}\n")


def read_labels(path: Path) -> np.ndarray:
    """The label matrix, uint8 (N, K); InputError if the archive is not readable."""
    with open_npz(path) as archive:
        return np.unpackbits(archive.read("labels_packed"), axis=1)[:, : len(archive.read("category_names"))]


def split_classes(labels_NK: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Labels (N, `classes`): each class's positives dealt out to several kinds of it, as often as 1, 1/2, 1/3, ...

    An image keeps its number of labels, and which classes are shown together stays as it was; the rarest kinds are left
    with a handful of images, as in data sets of that many classes. Kinds without a positive stay as they are.
    """
    rng = numpy_generator(seed, "kinds")
    kinds_K = np.full(labels_NK.shape[1], classes // labels_NK.shape[1])
    kinds_K[: classes - kinds_K.sum()] += 1
    first_K = np.concatenate([[0], kinds_K.cumsum()[:-1]])
    split_NK = np.zeros((len(labels_NK), classes), np.uint8)
    for k, (first, kinds) in enumerate(zip(first_K, kinds_K, strict=True)):
        rows = np.flatnonzero(labels_NK[:, k])
        share = 1 / np.arange(1, kinds + 1)
        split_NK[rows, first + rng.choice(kinds, len(rows), p=share / share.sum())] = 1
    return split_NK


def simulate(true_NK: np.ndarray, noise: str, stage: str, seed: int) -> Scene:
    """Confidences (N, K) of a calibrated model that knows frequent classes better than rare ones.

    Scores of a class are normal with deviation 1, about 0 where it is absent and about d where it is present, d by
    SEPARATION; the confidence is the probability of presence that follows from score and frequency.
    """
    count_K = true_NK.sum(axis=0)
    at_ten, per_decade = SEPARATION[stage]
    apart_K = at_ten + per_decade * np.log10(np.maximum(count_K, 1) / 10).clip(-1)
    frequency_K = count_K.clip(0.5) / len(true_NK)
    score_NK = numpy_generator(seed, "scores").standard_normal(true_NK.shape, np.float32)
    score_NK += true_NK * apart_K.astype(np.float32)
    prior_K = np.log(frequency_K / (1 - frequency_K)) - apart_K**2 / 2
    confidence_NK = expit(score_NK * apart_K.astype(np.float32) + prior_K.astype(np.float32))
    given_NK = inject(true_NK, noise, RATE, numpy_generator(seed, "noise"))
    return Scene(true_NK, given_NK, confidence_NK, ndtr(apart_K / np.sqrt(2)))


def sampler_table(scene: Scene) -> pd.DataFrame:
    """What an epoch of N draws shows: by eq. 4 at each sharpness, and by drawing a class first, then one of its images.

    `largest / smallest` and `99th / 1st percentile` of the probabilities; `distinct`: the expected number of different
    images among N draws, in percent of N; `effective`: 1 / Σp², the number of equally likely images that a draw is
    worth, in percent of N; how many times as much as in a uniform draw there is of `labels` an image and of `rare`
    images, those that show a class of the rarest tenth, both by the given labels.
    """
    given_NK = scene.given_NK
    given = RareLabels.of(torch.from_numpy(given_NK))
    scores_N = instance_scores(given, *class_confidence(torch.from_numpy(scene.confidence_NK), given))
    drawn_by = {f"eq. 4, sharpness {power:g}": sampling_probability(scores_N, power).numpy() for power in SHARPNESS}
    count_K = given_NK.sum(axis=0)
    share_N = given_NK @ (1 / np.maximum(count_K, 1))
    drawn_by["class first"] = share_N / share_N.sum()
    shows_rare_N = given_NK[:, np.argsort(count_K, kind="stable")[: max(1, len(count_K) // 10)]].any(axis=1)
    labels_N = given_NK.sum(axis=1)
    rows = []
    for name, p_N in drawn_by.items():
        low, high = np.quantile(p_N, [0.01, 0.99])
        with np.errstate(divide="ignore"):
            spread = {"largest / smallest": p_N.max() / p_N.min(), "99th / 1st percentile": high / low}
        rows.append(
            {
                "drawn by": name,
                **spread,
                "distinct, %": 100 * -np.expm1(len(p_N) * np.log1p(-p_N)).mean(),
                "effective, %": 100 / (p_N @ p_N) / len(p_N),
                "labels": (p_N @ labels_N) / labels_N.mean(),
                "rare": p_N[shows_rare_N].sum() / shows_rare_N.mean(),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Audited:
    """The given positives of a scene, one after the other, and what is known of them before eq. 9."""

    class_P: np.ndarray
    right_P: np.ndarray
    p_clean_P: Tensor
    confidence_P: Tensor
    unfitted_K: np.ndarray
    """Classes with too few given positives for a mixture."""
    group_K: np.ndarray
    """The index in GROUPS of each class."""

    def refined(self, **settings: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, verdicts and weights by eq. 9 with the paper's ε, or by other settings of `refine_labels`."""
        given_P, chosen = torch.ones_like(self.p_clean_P), {"epsilon": EPSILON} | settings
        refined = refine_labels(given_P, self.p_clean_P, self.confidence_P, **chosen)
        labels_P, verdict_P, weight_P = (each.numpy() for each in refined)
        return labels_P, verdict_P, weight_P


def audit(scene: Scene) -> Audited:
    """Fit the mixtures to the losses, and look up the given positives."""
    given_NK, confidence_NK = torch.from_numpy(scene.given_NK), torch.from_numpy(scene.confidence_NK)
    losses_NK = torch.nn.functional.binary_cross_entropy(confidence_NK, given_NK.float(), reduction="none")
    mixtures = fit_loss_mixtures(losses_NK, given_NK)
    row_P, class_P = np.nonzero(scene.given_NK)
    return Audited(
        class_P,
        scene.true_NK[row_P, class_P].astype(bool),
        mixtures.clean_probability(losses_NK, given_NK)[row_P, class_P],
        confidence_NK[row_P, class_P],
        mixtures.degenerate[1].numpy(),
        np.digitize(scene.given_NK.sum(axis=0, dtype=int), GROUPS) - 1,
    )


def mixture_table(scene: Scene, audited: Audited) -> pd.DataFrame:
    """What the mixtures make of given positives, by the number of them that a class has.

    `unfitted`: classes with too few for a mixture, all of whose positives count as clean. Of the right ones, in
    percent: `doubted` (not clean), and of all right ones `taken away` (re-labelled as absent); `weight`: the mean
    weight at which a right positive still counts as present. Of the wrong ones: `found` (not clean), and their weight.
    """
    labels_P, verdict_P, weight_P = audited.refined()
    rows = []
    for group in np.unique(audited.group_K):
        inside_K = audited.group_K == group
        right, wrong = (inside_K[audited.class_P] & each for each in (audited.right_P, ~audited.right_P))
        rows.append(
            {
                "given positives": _span(group),
                "number of classes": int(inside_K.sum()),
                "ROC area": float(scene.area_K[inside_K].mean()),
                "unfitted": int(audited.unfitted_K[inside_K].sum()),
                "doubted, %": 100 * _mean(verdict_P[right] != CLEAN),
                "taken away, %": 100 * _mean(labels_P[right] == 0),
                "weight": _mean((labels_P * weight_P)[right]),
                "found, %": 100 * _mean(verdict_P[wrong] != CLEAN),
                "weight of wrong": _mean((labels_P * weight_P)[wrong]),
            }
        )
    return pd.DataFrame(rows)


def settings_table(audited: Audited) -> pd.DataFrame:
    """The mean weights of right and of wrong given positives under other settings, in small classes and in all."""
    small_P = audited.group_K[audited.class_P] < GROUPS.index(SMALL)
    rows = []
    for name, settings in SETTINGS.items():
        labels_P, _, weight_P = audited.refined(**settings)
        kept_P = labels_P * weight_P
        row: dict[str, object] = {"settings": name}
        for where, inside_P in ((f"below {SMALL}", small_P), ("all", np.ones_like(small_P))):
            row[f"right, {where}"] = _mean(kept_P[inside_P & audited.right_P])
            row[f"wrong, {where}"] = _mean(kept_P[inside_P & ~audited.right_P])
        rows.append(row)
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; numbers to two places or three digits, a dash where there is none."""
    cells = [list(table.columns), ["---"] * len(table.columns), *(map(_shown, row) for row in table.to_numpy())]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _shown(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return "–" if np.isnan(cell) else f"{cell:.2f}" if abs(cell) < 10 else f"{cell:.3g}"


def _span(group: int) -> str:
    ends = [*(f"{end:,}" for end in GROUPS[1:]), ""]
    return f"{GROUPS[group]:,} and more" if not ends[group] else f"{GROUPS[group]:,} to {GROUPS[group + 1] - 1:,}"


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


if __name__ == "__main__":
    console.run(main)
