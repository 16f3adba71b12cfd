"""Pseudo-labelled images in the random sampler: rows behind those of the training set, with a loss of their own.

The recipe is not asked about them: it sees the labelled part of a step, its sampler and its mixtures none of the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bmix.data.stores import Store
from bmix.method.mixing import mix
from bmix.method.objective import balancemix_loss
from bmix.recipes.shared.base import Classify, Recipe, Side, Step, StepResult
from bmix.recipes.shared.losses import cross_entropy


class JoinedStore:
    """Two stores of one kind as one: the rows of the second follow those of the first."""

    def __init__(self, first: Store, second: Store) -> None:
        self.first, self.second = first, second
        self.in_memory = first.in_memory and second.in_memory

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def read(self, rows_B: Tensor) -> Tensor:
        """What the stores hold at these rows, (B, ...)."""
        of_second_B = rows_B >= len(self.first)
        if not of_second_B.any():
            return self.first.read(rows_B)
        read = self.second.read(rows_B[of_second_B] - len(self.first))
        both_B = read.new_empty(len(rows_B), *read.shape[1:])
        both_B[of_second_B] = read
        if not of_second_B.all():
            both_B[~of_second_B] = self.first.read(rows_B[~of_second_B])
        return both_B


@dataclass(frozen=True)
class Pool:
    """Images of the split unlabelled with their ids and pseudo-labels.

    labels_UK: int8 of 0, 1 and -1, which carries no loss. weight: ω, what a loss of theirs counts for.
    """

    images: Store
    labels_UK: Tensor
    weight: float
    ids: Sequence[str]

    def step(self, recipe: Recipe, classify: Classify, step: Step) -> tuple[StepResult, Tensor]:
        """One step: the recipe's on the labelled images, ω times the plain loss of what is known on the others.

        Both pass the network in one batch. The loss is the mean over all images; verdicts are of the labelled ones,
        whose rows come second.
        """
        count = len(recipe.given_NK)
        pooled_B = step.random.rows >= count
        labelled, others = _part(step, ~pooled_B), _part(step, pooled_B)
        if not len(others.random.rows):
            return recipe.step(classify, step), step.random.rows
        views, targets, weight = self._targets(recipe, others, count)
        if not len(labelled.random.rows):
            return StepResult(pool_loss(classify(views), targets, weight, recipe.single_label)), labelled.random.rows
        passed: list[Tensor] = []

        def together(views_B: Tensor) -> Tensor:
            logits = classify(torch.cat([views_B, views]))
            passed.append(logits[..., len(views_B) :, :])
            return logits[..., : len(views_B), :]

        result = recipe.step(together, labelled)
        (logits,) = passed
        own, other = len(labelled.random.rows), len(others.random.rows)
        loss = (own * result.loss + other * pool_loss(logits, targets, weight, recipe.single_label)) / (own + other)
        return StepResult(loss, result.verdict, result.refined), labelled.random.rows

    def _targets(self, recipe: Recipe, others: Step, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Views, targets and weights of the pool's part; mixed with a labelled partner if the recipe mixes.

        As in eq. 10, the weights are those of the random image.
        """
        labels_BK = self.labels_UK[others.random.rows - count]
        targets, weight = labels_BK.clamp(min=0).float(), (labels_BK >= 0).float() * self.weight
        if others.partner is None or others.coefficient is None:
            return others.random.views, targets, weight
        views = mix(others.random.views, others.partner.views, others.coefficient)
        return views, mix(targets, recipe.partner_labels(others.partner), others.coefficient), weight


def pool_loss(logits_BK: Tensor, targets_BK: Tensor, weight_BK: Tensor, single_label: bool = False) -> Tensor:
    """Σ_k w_k BCE(f_k, y_k), or w times the cross-entropy where every image has one class: a scalar, the batch's mean.

    Of M networks, logits (M, B, K), their sum. In single-label data the weights of a row are all ω or all 0.
    """
    if logits_BK.ndim == 3:
        return torch.stack([pool_loss(own, targets_BK, weight_BK, single_label) for own in logits_BK]).sum()
    if single_label:
        return cross_entropy(logits_BK, targets_BK * weight_BK)
    return balancemix_loss(logits_BK, targets_BK, weight_BK)


def _part(step: Step, kept_B: Tensor) -> Step:
    partner = None if step.partner is None else _side(step.partner, kept_B)
    return Step(_side(step.random, kept_B), partner, None if step.coefficient is None else step.coefficient[kept_B])


def _side(side: Side, kept_B: Tensor) -> Side:
    return Side(side.rows[kept_B], side.views[kept_B], None if side.confidence is None else side.confidence[kept_B])
