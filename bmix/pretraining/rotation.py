"""Rotation prediction (Gidaris et al., ICLR 2018, arXiv 1803.07728), by which Yang and Xu (NeurIPS 2020) pre-train."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bmix.pretraining.base import LabelFree
from bmix.recipes.shared.base import Classify, Step, StepResult

TURNS = ("0°", "90°", "180°", "270°")
"""The four classes."""


class Rotation(LabelFree):
    """Which way up is an image? Each step shows its images in all four, and the loss is the mean cross-entropy.

    An image is turned after it was augmented, so that neither mirroring nor the borders that a shift leaves tell.
    """

    measure = "accuracy"

    def step(self, classify: Classify, step: Step) -> StepResult:
        """Mean cross-entropy over the 4B turned views."""
        logits = classify(turned(step.random.views))
        turn = torch.arange(len(TURNS), device=logits.device).repeat_interleave(len(step.random.rows))
        self.count((logits.argmax(dim=1) == turn).sum(), len(turn))
        return StepResult(cross_entropy(logits, turn))


def turned(views_B: Tensor) -> Tensor:
    """Square views (B, C, S, S) in their four orientations, (4B, C, S, S): first all as they are, then all turned by
    90°, 180° and 270° against the clock."""
    return torch.cat([torch.rot90(views_B, quarter, dims=(2, 3)) for quarter in range(len(TURNS))])
