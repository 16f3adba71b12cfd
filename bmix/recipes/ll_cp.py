"""LL-Cp: labels given as 0 with large losses are corrected for good (Kim et al. 2022, arXiv 2206.03740)."""

from __future__ import annotations

from torch import Tensor

from bmix.recipes.shared.base import EpochPass
from bmix.recipes.shared.large_loss import LargeLoss, largest_losses


class LLCp(LargeLoss):
    """After every epoch the Δ_rel per cent of all labels with the largest losses among those still 0 turn 1 for good.

    The paper takes them from each batch; here they come from the pass over the training set (see MissingLabels). What
    was corrected is kept by image, is part of the checkpoint, and is what the closing verdicts call re-labelled. The
    losses are those of the labels as corrected so far.
    """

    def find_missing(self, epoch_pass: EpochPass, epoch: int) -> Tensor:
        """What was corrected before, and the largest losses of the labels that are 0 after that."""
        doubtable_NK = self.doubtable() if self.missing_NK is None else self.doubtable() & ~self.missing_NK
        further_NK = largest_losses(epoch_pass.losses_NK, doubtable_NK, self.own.delta_rel)
        return further_NK if self.missing_NK is None else self.missing_NK | further_NK
