"""Recipes that take some labels given as 0 for wrong, by the pass over the training set after an epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.ledger import Ledger
from bmix.method.refine import AMBIGUOUS, RELABELLED
from bmix.recipes.shared.base import EpochPass
from bmix.recipes.shared.pairs import MixedPairs


class MissingLabels(MixedPairs):
    """Labels given as 0 that the last pass takes for missing are 1 in the next epoch, before the pairs are mixed.

    A recipe says which by `find_missing`. Rules of this kind look at the loss or the confidence of a label on its own
    image. A mixed image has neither: of a class that one of its two images shows, it is sure by half. So the rules look
    at the pass after each epoch, which shows every image alone to the current model, and correct the labels of BOTH
    images of a pair before these are mixed, as BalanceMix does. That is why they begin with the second epoch, and why
    the number of processes does not change what they find.

    The closing verdicts are the labels that another epoch would have corrected, by the pass after the last.
    """

    missing_NK: Tensor | None = None
    counts_missing_as = RELABELLED
    """The verdict on the labels found: re-labelled to 1; or ambiguous, of weight 0, if the recipe leaves them out."""

    _epoch = 0

    def find_missing(self, epoch_pass: EpochPass, epoch: int) -> Tensor:
        """Which labels count as missing in epoch `epoch`, which comes next: bool (N, K), of `doubtable()`."""
        raise NotImplementedError

    def doubtable(self) -> Tensor:
        """The labels given as 0, bool (N, K), but those that people looked at."""
        return ~self.given_NK if self.reviewed_NK is None else ~(self.given_NK | self.reviewed_NK)

    def wants_pass(self, manage: bool) -> bool:
        """After every epoch, warm-up or not: these rules have schedules of their own."""
        return True

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Keep the number of the epoch."""
        self._epoch = epoch

    def end_epoch(self, epoch_pass: EpochPass, manage: bool) -> None:
        """Look for missing labels."""
        self.missing_NK = self.find_missing(epoch_pass, self._epoch + 1)
        self.managing = True

    def labels(self, rows_B: Tensor) -> Tensor:
        """The given labels, and 1 where one is missing."""
        given_BK = super().labels(rows_B)
        if self.missing_NK is None or self.counts_missing_as != RELABELLED:
            return given_BK
        return given_BK.masked_fill(self.missing_NK[rows_B], 1)

    def verdict(self, rows_B: Tensor) -> Tensor | None:
        """Clean, but for the labels that are missing."""
        return None if self.missing_NK is None else self.missing_NK[rows_B].to(torch.uint8) * self.counts_missing_as

    def ledger(self, confidence_NK: Tensor | None) -> Ledger:
        """Missing labels as the last pass found them, by p_clean 0; the rule gives no probability in between."""
        if self.missing_NK is None:
            return super().ledger(confidence_NK)
        kept_NK = (~self.missing_NK).float()
        every_row = torch.arange(len(self.given_NK), device=self.given_NK.device)
        verdict_NK = self.missing_NK.to(torch.uint8) * self.counts_missing_as
        weight_NK = kept_NK if self.counts_missing_as == AMBIGUOUS else torch.ones_like(kept_NK)
        return Ledger(self.given_NK, kept_NK, self.labels(every_row), verdict_NK, weight_NK, managed=True)

    def state(self) -> dict[str, Tensor]:
        """The labels that are missing, by image."""
        return {} if self.missing_NK is None else {"missing": self.missing_NK}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        self.managing = "missing" in state
        self.missing_NK = state["missing"].to(self.given_NK.device) if self.managing else None
