"""LL-Ct: labels given as 0 with large losses are corrected for one epoch (Kim et al. 2022, arXiv 2206.03740)."""

from __future__ import annotations

from bmix.recipes.shared.large_loss import LargeLoss


class LLCt(LargeLoss):
    """The labels that LargeLoss doubts count as 1 for one epoch.

    In an image that is not mixed their loss would be the paper's, -log p, that of the opposite label; here the labels
    of both images of a pair are corrected before they are mixed (see MissingLabels).
    """
