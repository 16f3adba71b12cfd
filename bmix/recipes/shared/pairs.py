"""Mixed pairs: eq. 5 on the images and labels of a step."""

from __future__ import annotations

from torch import Tensor

from bmix.method.mixing import mix
from bmix.recipes.shared.base import Step


def mixed(step: Step, labels_BK: Tensor, partner_labels_BK: Tensor) -> tuple[Tensor, Tensor]:
    """The views and targets of a step's pairs, mixed by one λ each. ValueError for a step without partners."""
    if step.partner is None or step.coefficient is None:
        raise ValueError("the step has no partners to mix with")
    views = mix(step.random.views, step.partner.views, step.coefficient)
    return views, mix(labels_BK, partner_labels_BK, step.coefficient)
