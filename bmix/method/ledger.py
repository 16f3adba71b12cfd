"""What is known of every training label, by image: given value, clean probability, verdict, weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bmix.method.mixture import LossMixtures
from bmix.method.refine import CLEAN, VERDICT_NAMES

CERTAIN = 1e6
"""What stands for infinite log-odds: of a degenerate mixture, and of a rule that gives no probability."""


@dataclass(frozen=True)
class Ledger:
    """The closing verdicts on N images and K classes.

    given_NK bool; p_clean_NK float32 in [0, 1]; labels_NK float32 0/1, the refined values; verdict_NK codes of
    bmix.method.refine; weight_NK float32 in [0, 1]; managed: False if no label was examined; mixtures: the closing
    fit; log_odds_M: float64, of p_clean for the labels of `listed`; None: they are computed from p_clean.
    """

    given_NK: Tensor
    p_clean_NK: Tensor
    labels_NK: Tensor
    verdict_NK: Tensor
    weight_NK: Tensor
    managed: bool
    mixtures: LossMixtures | None = None
    log_odds_M: Tensor | None = None

    def listed(self) -> tuple[Tensor, Tensor]:
        """Image and class of the M rows of `table`: given positives, and labels that are not clean; int64 (M,) each."""
        image_M, class_M = (self.given_NK | (self.verdict_NK != CLEAN)).nonzero().unbind(1)
        return image_M, class_M

    def table(self, image_ids: Sequence[str], class_names: Sequence[str]) -> pd.DataFrame:
        """A row per given positive and per label that is not clean, in image order, then class order."""
        given, verdict = self.given_NK.cpu().numpy().astype(bool), self.verdict_NK.cpu().numpy()
        image_M, class_M = self.listed()
        log_odds_M = self.log_odds_M
        if log_odds_M is None:
            log_odds_M = torch.logit(self.p_clean_NK[image_M, class_M].double())
        rows, columns = image_M.cpu().numpy(), class_M.cpu().numpy()
        names = np.array([VERDICT_NAMES[code] for code in sorted(VERDICT_NAMES)])
        return pd.DataFrame(
            {
                "id": np.asarray(image_ids, dtype=object)[rows],
                "class": np.asarray(class_names, dtype=object)[columns],
                "given": given[rows, columns].astype(np.int8),
                "p_clean": self.p_clean_NK.cpu().numpy()[rows, columns],
                "log_odds": log_odds_M.clamp(-CERTAIN, CERTAIN).cpu().numpy(),
                "verdict": names[verdict[rows, columns]].astype(object),
                "label": self.labels_NK.cpu().numpy()[rows, columns].astype(np.int8),
                "weight": self.weight_NK.cpu().numpy()[rows, columns],
            }
        )

    def summary(self, class_names: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """Per class, of given "positives" and "negatives": how many have which verdict, and whether degenerate."""
        verdict = self.verdict_NK.cpu().numpy()
        given = self.given_NK.cpu().numpy().astype(bool)
        counts = {
            value: {
                name: ((verdict == code) & (given == bool(value))).sum(axis=0) for code, name in VERDICT_NAMES.items()
            }
            for value in (0, 1)
        }
        return {
            class_name: {
                side: {
                    **{name: int(count_K[k]) for name, count_K in counts[value].items()},
                    "degenerate": bool(self.mixtures.degenerate[value, k]) if self.mixtures is not None else False,
                }
                for value, side in ((1, "positives"), (0, "negatives"))
            }
            for k, class_name in enumerate(class_names)
        }
