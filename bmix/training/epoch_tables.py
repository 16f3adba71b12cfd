"""The records of a run, epoch by epoch: history, mixtures, sampler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bmix.method.refine import VERDICT_NAMES
from bmix.recipes.shared.base import EpochPass, Recipe, StepResult
from bmix.training.ranks import Ranks
from bmix.training.truth import TRUTH_COLUMNS, TruthTotals
from bmix.training.verdict_history import EpochVerdicts, VerdictHistory

if TYPE_CHECKING:
    import pyarrow

HISTOGRAM_BINS = 60
HISTOGRAM_RANGE = (-6.0, 2.0)
"""log10 of the smallest and largest loss told apart in a histogram."""

HISTORY_COLUMNS = [
    "epoch",
    "phase",
    "learning_rate",
    "train_loss",
    "given_loss",
    "val_map",
    *VERDICT_NAMES.values(),
    *(f"{name}_positives" for name in VERDICT_NAMES.values()),
    *TRUTH_COLUMNS,
]
MIXTURE_COLUMNS = [
    "epoch",
    "class",
    "given",
    "count",
    "degenerate",
    *(f"{name}_{component}" for name in ("mean", "variance", "weight") for component in (0, 1)),
    "histogram",
]
SAMPLER_COLUMNS = ["epoch", "minimum", "p10", "median", "p90", "maximum", "effective_size"]


class EpochTotals:
    """The sums of the steps of one epoch and their verdicts, kept on the device until the epoch ends.

    images: of the training set. true_NK: as of TruthTotals.
    """

    def __init__(self, images: int, true_NK: Tensor | None = None) -> None:
        self.verdicts = EpochVerdicts(images)
        self._truth = TruthTotals(true_NK)
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._verdicts: list[Tensor] = []

    def add(self, result: StepResult, rows_B: Tensor, given_BK: Tensor, size: int) -> None:
        """Count one step: its loss per instance, and its verdicts by given value and, where it is known, the truth.

        rows, given: of its labelled instances. size: how many it has with those of a pool.
        """
        self._losses.append(result.loss.detach())
        self._sizes.append(size)
        self._truth.add(rows_B, given_BK, result.refined, result.verdict)
        self.verdicts.add(rows_B, given_BK, result.refined, result.verdict)
        verdict_BK = result.verdict
        if verdict_BK is not None:
            codes = (verdict_BK * 2 + given_BK).flatten()
            # By comparing, since counting into bins would have a GPU and the CPU wait for each other.
            every_code = torch.arange(2 * len(VERDICT_NAMES), device=codes.device, dtype=codes.dtype)
            self._verdicts.append((codes == every_code[:, None]).sum(dim=1))

    def sum_up(self, ranks: Ranks) -> tuple[float, dict[str, float | None]]:
        """Over the steps and processes: mean loss per instance, the shares of the verdicts, and how right they were.

        See `shares` and `truth_scores`.
        """
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        losses = torch.stack(self._losses).double().cpu()
        total = torch.stack([(losses * sizes).sum(), sizes.sum()]).to(self._losses[0].device)
        counts = torch.stack(self._verdicts).sum(dim=0) if self._verdicts else None
        ranks.sum_(total, *([] if counts is None else [counts]))
        return float(total[0] / total[1]), shares(counts) | self._truth.sum_up(ranks)


def shares(counts: Tensor | None) -> dict[str, float | None]:
    """Shares of clean, relabelled and ambiguous labels, of all and of the given positives; None if not managed.

    counts: (6,) labels per verdict and given value.
    """
    names = list(VERDICT_NAMES.values())
    if counts is None:
        return dict.fromkeys([*names, *(f"{name}_positives" for name in names)])
    table = counts.view(len(names), 2).cpu().numpy()
    positives = max(1, table[:, 1].sum())
    of_all: dict[str, float | None] = {
        name: float(table[code].sum() / table.sum()) for code, name in VERDICT_NAMES.items()
    }
    return of_all | {f"{name}_positives": float(table[code, 1] / positives) for code, name in VERDICT_NAMES.items()}


@dataclass
class EpochTables:
    """The rows of history.csv, mixtures.parquet and sampler.csv so far, and the verdicts of every epoch; the seconds of
    an epoch are never stored."""

    history: list[dict[str, Any]] = field(default_factory=list)
    mixtures: list[dict[str, Any]] = field(default_factory=list)
    sampler: list[dict[str, Any]] = field(default_factory=list)
    verdicts: VerdictHistory = field(default_factory=VerdictHistory)
    seconds: list[float] = field(default_factory=list)

    def add_epoch(
        self,
        epoch: int,
        phase: str,
        learning_rate: float,
        totals: EpochTotals,
        ranks: Ranks,
        epoch_pass: EpochPass | None,
        validation_map: float | None,
        recipe: Recipe,
    ) -> None:
        """Write down one finished epoch; `epoch_pass`: what the recipe learnt from, None if from none."""
        train_loss, verdict_shares = totals.sum_up(ranks)
        self.history.append(
            {
                "epoch": epoch,
                "phase": phase,
                "learning_rate": learning_rate,
                "train_loss": train_loss,
                "given_loss": None if epoch_pass is None else float(epoch_pass.losses_NK.double().mean()),
                "val_map": validation_map,
                **verdict_shares,
            }
        )
        self.sampler.append({"epoch": epoch, **sampling_quantiles(recipe.partner_probability())})
        self.mixtures += mixture_rows(epoch, epoch_pass, recipe)
        self.verdicts.add(epoch, totals.verdicts.sum_up(ranks))

    def frames(self, class_names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """The three tables: history, mixtures, sampler."""
        mixtures = pd.DataFrame(self.mixtures, columns=MIXTURE_COLUMNS)
        mixtures["class"] = [class_names[k] for k in mixtures["class"]]
        return (
            pd.DataFrame(self.history, columns=HISTORY_COLUMNS),
            mixtures,
            pd.DataFrame(self.sampler, columns=SAMPLER_COLUMNS),
        )


def mixture_schema() -> pyarrow.Schema:
    """The parquet types of the mixtures' table: without a row, as of a recipe that fits none, it shows none itself."""
    # Training runs where pyarrow is absent; writing parquet does not.
    import pyarrow

    whole = pyarrow.int64()
    types = {"epoch": whole, "class": pyarrow.string(), "given": whole, "count": whole, "degenerate": pyarrow.bool_()}
    types["histogram"] = pyarrow.list_(whole)
    return pyarrow.schema({column: types.get(column, pyarrow.float64()) for column in MIXTURE_COLUMNS})


def mixture_rows(epoch: int, epoch_pass: EpochPass | None, recipe: Recipe) -> list[dict[str, Any]]:
    """A row per class (by number) and given value with the recipe's mixtures and the losses that they describe."""
    fitted = recipe.mixtures
    if fitted is None or epoch_pass is None:
        return []
    histograms = loss_histograms(epoch_pass.losses_NK, recipe.given_NK)
    parameters = {
        "mean": fitted.means.cpu().numpy(),
        "variance": fitted.variances.cpu().numpy(),
        "weight": fitted.weights.cpu().numpy(),
    }
    return [
        {
            "epoch": epoch,
            "class": k,
            "given": given,
            "count": int(fitted.counts[given, k]),
            "degenerate": bool(fitted.degenerate[given, k]),
            **{f"{name}_{c}": float(values[given, k, c]) for name, values in parameters.items() for c in (0, 1)},
            "histogram": histograms[given, k].tolist(),
        }
        for k in range(fitted.means.shape[1])
        for given in (0, 1)
    ]


def loss_histograms(losses_NK: Tensor, given_NK: Tensor) -> np.ndarray:
    """Counts of the losses per given value and class in bins equally spaced in log10, int64 (2, K, HISTOGRAM_BINS)."""
    low, high = HISTOGRAM_RANGE
    position_NK = (losses_NK.clamp_min(10**low).log10() - low) * (HISTOGRAM_BINS / (high - low))
    bin_NK = position_NK.long().clamp_(0, HISTOGRAM_BINS - 1)
    classes = losses_NK.shape[1]
    class_K = torch.arange(classes, device=losses_NK.device)
    code_NK = (given_NK.long() * classes + class_K) * HISTOGRAM_BINS + bin_NK
    counts = torch.bincount(code_NK.flatten(), minlength=2 * classes * HISTOGRAM_BINS)
    return counts.view(2, classes, HISTOGRAM_BINS).cpu().numpy()


def sampling_quantiles(probability_N: Tensor | None) -> dict[str, float]:
    """Quantiles of N·p(x) (1 everywhere for uniform) and the effective sample size 1 / Σ p² as a share of N."""
    if probability_N is None:
        return dict.fromkeys(SAMPLER_COLUMNS[1:], 1.0)
    relative = probability_N.double().cpu().numpy() * len(probability_N)
    quantiles = np.quantile(relative, [0, 0.1, 0.5, 0.9, 1])
    effective_size = len(relative) / np.square(relative).sum()
    return dict(zip(SAMPLER_COLUMNS[1:], [*map(float, quantiles), float(effective_size)], strict=True))
