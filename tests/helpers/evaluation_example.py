"""A made-up run for the tests of evaluation: long-tailed classes, 40 % mislabelling, 30 epochs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import logit

from bmix.evaluation.calibration import FittedCalibration, fit_calibration
from bmix.evaluation.results import Evaluation, TrainingTables, evaluate
from bmix.evaluation.verdicts import place_verdicts

EPOCHS, WARMUP = 30, 16
NAMES = {10: [str(digit) for digit in range(10)]}


@dataclass(frozen=True)
class Example:
    """The parts of a run; `evaluation()` measures them."""

    classes: list[str]
    ids: list[str]
    true: np.ndarray
    given: np.ndarray
    verdicts: pd.DataFrame
    record: TrainingTables
    predictions: dict[str, tuple[np.ndarray, np.ndarray]]
    thresholds: tuple[int, int]

    def evaluation(self, truth_known: bool = True) -> Evaluation:
        labels = place_verdicts(self.verdicts, self.ids, self.classes, self.given)
        true = self.true if truth_known else None
        measured = evaluate(self.predictions, self.true.sum(axis=0), labels, true, self.record, self.thresholds, 200)
        return replace(measured, calibration=self.calibration())

    def calibration(self) -> FittedCalibration:
        """As if the last test set were the val split."""
        logits = {name: (2 * logit(scores), labels) for name, (scores, labels) in self.predictions.items()}
        return fit_calibration(list(logits.values())[-1], logits)


def make_example(
    classes: int = 10, images: int = 1500, seed: int = 0, managed: bool = True, names: list[str] | None = None
) -> Example:
    rng = np.random.default_rng(seed)
    names = names or NAMES.get(classes, [f"class number {k}" for k in range(classes)])
    frequency = np.geomspace(0.45, 0.45 / 60, classes)
    true = rng.random((images, classes)) < frequency
    true[np.arange(classes), np.arange(classes)] = True
    given = _mislabel(true, 0.4, rng)
    verdicts = _verdicts(true, given, rng, managed)
    ids = [f"train-{n:05d}" for n in range(images)]
    rows, columns = np.nonzero(given | (verdicts["verdict"] != 0))
    table = pd.DataFrame(
        {
            "id": np.array(ids, dtype=object)[rows],
            "class": np.array(names, dtype=object)[columns],
            "given": given[rows, columns].astype(np.int8),
            "p_clean": verdicts["p_clean"][rows, columns].astype(np.float32),
            "log_odds": np.clip(logit(verdicts["p_clean"][rows, columns]), -1e6, 1e6),
            "verdict": np.array(["clean", "relabelled", "ambiguous"], dtype=object)[verdicts["verdict"][rows, columns]],
            "label": verdicts["label"][rows, columns].astype(np.int8),
            "weight": np.where(verdicts["verdict"] == 2, verdicts["p_clean"], 1)[rows, columns].astype(np.float32),
        }
    )
    record = TrainingTables(
        _history(rng, managed), _mixtures(names, given, true, rng) if managed else _no_mixtures(), _sampler(managed),
        managed, 0.975,
    )  # fmt: skip
    predictions = {}
    for split, share in (("test", frequency), ("test-balanced", np.full(classes, max(0.15, 1.5 / classes)))):
        labels = (rng.random((600, classes)) < share).astype(np.int8)
        skill = np.linspace(3.5, 1.2, classes) + rng.normal(0, 0.4, classes)
        scores = 1 / (1 + np.exp(-(labels * skill - 2 + rng.normal(0, 1, labels.shape))))
        labels[rng.random(labels.shape) < 0.01] = -1
        predictions[split] = (scores.astype(np.float32), labels)
    return Example(names, ids, true, given, table, record, predictions, (images // 6, images // 30))


def write_images(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Small grey noise pictures, every tenth one wider than high."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"{n:05d}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 255, (24, 36 if n % 10 == 0 else 24), dtype=np.uint8)).save(path)
    return paths


def _mislabel(true: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    given = true.copy()
    for n, k in np.argwhere(true & (rng.random(true.shape) < rate)):
        weights = np.where(true[n], 0, true.sum(axis=0))
        if weights.sum():
            given[n, k] = False
            given[n, rng.choice(len(weights), p=weights / weights.sum())] = True
    return given


def _verdicts(true: np.ndarray, given: np.ndarray, rng: np.random.Generator, managed: bool) -> dict[str, np.ndarray]:
    if not managed:
        return {"p_clean": np.ones(true.shape), "verdict": np.zeros(true.shape, int), "label": given}
    wrong = given != true
    doubted = rng.random(true.shape) < np.where(given, np.where(wrong, 0.85, 0.2), np.where(wrong, 0.6, 0.004))
    p_clean = np.where(doubted, rng.beta(0.4, 2, true.shape) / 2, 0.5 + rng.beta(3, 0.6, true.shape) / 2)
    relabelled = doubted & (rng.random(true.shape) < 0.45)
    found = np.where(rng.random(true.shape) < 0.92, true, ~true)
    return {
        "p_clean": p_clean,
        "verdict": np.where(relabelled, 1, np.where(doubted, 2, 0)),
        "label": np.where(relabelled, found, given),
    }


def _history(rng: np.random.Generator, managed: bool) -> pd.DataFrame:
    epoch = np.arange(1, EPOCHS + 1)
    late = managed & (epoch > WARMUP)
    progress = 1 - np.exp(-epoch / 8)
    drop = np.clip(epoch - WARMUP, 0, None) / EPOCHS
    frame = pd.DataFrame(
        {
            "epoch": epoch,
            "phase": np.where(epoch > WARMUP, "managed", "warmup"),
            "learning_rate": 0.0015 * (1 + np.cos(np.pi * epoch / EPOCHS)),
            "train_loss": 3.6 - 1.4 * progress - 1.5 * drop * managed + rng.normal(0, 0.02, EPOCHS),
            "given_loss": 0.33 - 0.1 * progress + 0.05 * drop,
            "val_map": 0.15 + 0.6 * progress + rng.normal(0, 0.01, EPOCHS),
        }
    )
    shares = {"relabelled": 0.005 + 0.05 * drop, "ambiguous": 0.06 - 0.05 * drop}
    positives = {"relabelled": 0.03 + 0.5 * drop, "ambiguous": 0.45 - 0.4 * drop}
    for suffix, values in (("", shares), ("_positives", positives)):
        values = {"clean": 1 - values["relabelled"] - values["ambiguous"], **values}
        for name, share in values.items():
            frame[name + suffix] = np.where(late, share, np.nan)
    for suffix in ("", "_positives"):
        for name in ("clean_precision", "clean_recall", "relabel_precision", "relabel_recall"):
            frame[name + suffix] = np.where(late, 0.5 + drop, np.nan)
    return frame


MIXTURE_COLUMNS = [
    "epoch", "class", "given", "count", "degenerate", "mean_0", "mean_1", "variance_0", "variance_1", "weight_0",
    "weight_1", "histogram",
]  # fmt: skip


def _no_mixtures() -> pd.DataFrame:
    return pd.DataFrame(columns=MIXTURE_COLUMNS)


def _mixtures(names: list[str], given: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    edges = np.linspace(-6, 2, 61)
    rows: list[list[object]] = []
    for k, name in enumerate(names):
        for value in (0, 1):
            wrong = (given != true)[given[:, k] == bool(value), k]
            low = np.exp(rng.normal(-3.5 if value == 0 else -1.5, 1.0, len(wrong)))
            loss = np.where(wrong, np.abs(rng.normal(3.2, 1.0, len(wrong))), low)
            histogram = np.histogram(np.log10(loss.clip(1e-6, 1e2)), edges)[0].tolist()
            rest = [
                len(wrong),
                False,
                low.mean(),
                3.2,
                low.var() + 1e-6,
                1.0,
                1 - wrong.mean(),
                wrong.mean(),
                histogram,
            ]
            if len(wrong) < 20:
                rest[1:8] = [True, loss.mean(), loss.mean(), 0.1, 0.1, 1.0, 0.0]
            rows += [[epoch, name, value, *rest] for epoch in (EPOCHS - 1, EPOCHS)]
    return pd.DataFrame(rows, columns=MIXTURE_COLUMNS).sort_values("epoch", kind="stable", ignore_index=True)


def _sampler(managed: bool) -> pd.DataFrame:
    epoch = np.arange(1, EPOCHS + 1)
    spread = np.exp(-epoch / 10) * managed
    columns = {"minimum": -0.5, "p10": -0.3, "median": -0.05, "p90": 0.4, "maximum": 1.2}
    values = {name: 1 + factor * spread for name, factor in columns.items()}
    return pd.DataFrame({"epoch": epoch, **values, "effective_size": 1 - 0.1 * spread})
