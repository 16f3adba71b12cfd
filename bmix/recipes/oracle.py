"""The oracle: Mixup on the true labels, the ceiling of what managing labels can reach."""

from __future__ import annotations

from torch import Tensor

from bmix.recipes.shared.pairs import MixedPairs


class Oracle(MixedPairs):
    """As mixup, but with the true labels in the place of the given ones; only where they are known.

    It mixes so that what it differs in from mixup, and from every other recipe but bce, is the labels alone.
    """

    needs_truth = True
    takes_single_label = True

    def labels(self, rows_B: Tensor) -> Tensor:
        """The true labels. ValueError if it was given none."""
        if self.true_NK is None:
            raise ValueError("the oracle was given no true labels")
        return self.true_NK[rows_B].float()
