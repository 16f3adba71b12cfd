"""The one loop that trains every recipe (Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bmix.data.augment import Augment
from bmix.data.stores import FeatureViews, Store
from bmix.evaluation.metrics import average_precision
from bmix.method.ledger import Ledger
from bmix.models.store import Classifier
from bmix.recipes.shared.base import EpochPass, Recipe, Side, Step, StepResult
from bmix.training.engine import Engine
from bmix.training.epoch_tables import EpochTables, EpochTotals
from bmix.training.finite import FiniteGuard
from bmix.training.loading import load, worker_count
from bmix.training.passes import DrawnViews, PlainViews, confidence, epoch_pass
from bmix.training.plan import Plan
from bmix.training.pool import JoinedStore, Pool
from bmix.training.ranks import Ranks
from bmix.training.steps import EpochSteps, SideViews, StepViews, draw_pairs

OnStep = Callable[[int, int, int], None]
"""(epoch, step, steps) -> None, after every step."""


class Trainer:
    """A run: the classifier, its optimiser, the recipe and the records, after `epoch` finished epochs.

    It changes `classifier` in place. `images`: the training instances by row, images or features. `validation`: more
    of them and their labels (V, K) of 0, 1 and -1 for ignored, or None. `ranks`: this process among those of the run;
    all of them call the same methods, and all have the same recipe, weights and records after each.
    `pool`: pseudo-labelled images, which the random sampler draws too; None if there are none.
    `true_NK`: the true labels, int8 (N, K) of 0, 1 and -1 for unknown, by which the history scores the verdicts.
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        images: Store,
        plan: Plan,
        augment: Augment | FeatureViews,
        validation: tuple[Store, Tensor] | None = None,
        ranks: Ranks | None = None,
        true_NK: Tensor | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.classifier, self.recipe, self.images = classifier, recipe, images
        self.plan, self.augment, self.validation = plan, augment, validation
        self.pool, self._drawn = pool, images if pool is None else JoinedStore(images, pool.images)
        self.ranks = ranks or Ranks()
        self.engine = Engine(classifier, plan, self.ranks)
        self.tables = EpochTables()
        self._true_NK = true_NK
        self.epoch = 0
        self._plain_pass: EpochPass | None = None

    def train_epoch(self, on_step: OnStep | None = None) -> None:
        """One epoch: all steps, then the pass that the next epoch's sampler and mixtures come from."""
        started = time.perf_counter()
        epoch = self.epoch + 1
        self.recipe.begin_epoch(epoch, self.plan.epochs)
        steps = self._steps(epoch)
        totals, guard = EpochTotals(len(self.images), self._true_NK), FiniteGuard(epoch, self._ids())
        workers = worker_count(self._drawn, self.augment, self.ranks.here)
        for number, views in enumerate(load(steps, workers)):
            learning_rate = self.plan.learning_rate_at((self.epoch + number / len(steps)) / self.plan.epochs)
            self._step(views, learning_rate, number, totals, guard)
            if on_step is not None:
                on_step(epoch, number + 1, len(steps))
        guard.end(self.classifier.parameters(), self.engine.loss_scale)
        phase = "managed" if self.recipe.managing else "warmup" if epoch <= self.plan.warmup_epochs else "plain"
        self.epoch = epoch
        learnt_from = self._learn(manage=epoch >= self.plan.warmup_epochs)
        self.tables.add_epoch(
            epoch, phase, learning_rate, totals, self.ranks, learnt_from, self._validation_map(), self.recipe
        )
        self.tables.seconds.append(time.perf_counter() - started)

    def close(self) -> Ledger:
        """The closing verdicts, found as a step finds them: a pass with the final weights, then eq. 9 on two views."""
        recipe = self.recipe
        if self.engine.average is not None:
            # The last pass was by other weights than those that are settled on.
            self._plain_pass = None
        self.engine.settle()
        if not recipe.needs_pass:
            return recipe.ledger(None)
        views = DrawnViews(self.augment, self.plan.seed, ("closing",))
        seen = recipe.passes_views(manage=True)
        closing = self._pass(views) if seen else self._plain_pass or self._pass(PlainViews())
        recipe.judge(closing)
        doubtful_N = None if seen else recipe.doubtful_rows()
        confidence_NK = None
        if doubtful_N is not None:
            rows = doubtful_N.nonzero().squeeze(1)
            confidence_NK = torch.full(recipe.given_NK.shape, 0.5, device=self.engine.device)
            confidence_NK[rows] = confidence(self.engine, self.images, views, rows)
        ledger = recipe.ledger(confidence_NK)
        image_M, class_M = ledger.listed()
        log_odds_M = recipe.log_odds(closing.losses_NK[image_M, class_M], image_M, class_M)
        if log_odds_M is not None and recipe.reviewed_NK is not None:
            log_odds_M = log_odds_M.masked_fill(recipe.reviewed_NK[image_M, class_M], torch.inf)
        return replace(ledger, log_odds_M=log_odds_M)

    def _steps(self, epoch: int) -> EpochSteps:
        plan = self.plan
        own, drawn = len(self.images), len(self._drawn)
        pairs = draw_pairs(drawn, self.recipe, plan.seed, epoch, partners=own)
        doubtful_N = self.recipe.doubtful_rows()
        if doubtful_N is not None:
            doubtful_N = torch.cat([doubtful_N.cpu(), torch.zeros(drawn - own, dtype=torch.bool)])
        return EpochSteps(self._drawn, self.augment, pairs, doubtful_N, plan.batch_size, plan.seed, epoch, self.ranks)

    def _step(
        self, views: StepViews, learning_rate: float, number: int, totals: EpochTotals, guard: FiniteGuard
    ) -> None:
        self.engine.key_dropout(views.positions, self.plan.seed, self.epoch + 1)
        step = self._to_step(views)
        result, rows = self._result(step)
        self.engine.update(self.engine.penalised(result.loss), learning_rate, views.share)
        guard.watch(result.loss.detach(), number, views, learning_rate)
        totals.add(result, rows, self.recipe.given_NK[rows], len(step.random.rows))

    def _result(self, step: Step) -> tuple[StepResult, Tensor]:
        """The step's result, and the rows of the labelled images in it."""
        if self.pool is None:
            return self.recipe.step(self.engine.classify, step), step.random.rows
        return self.pool.step(self.recipe, self.engine.classify, step)

    def _ids(self) -> list[str] | None:
        """Of all that the random sampler draws."""
        ids = self.recipe.image_ids
        return ids if ids is None or self.pool is None else [*ids, *self.pool.ids]

    def _to_step(self, views: StepViews) -> Step:
        views = views.to(self.engine.device)
        random, *partner = [
            Side(side.rows, self.engine.normalised(side.train), confidence)
            for side, confidence in zip(views.sides, self._relabelling_confidence(views.sides), strict=True)
        ]
        return Step(random, partner[0] if partner else None, views.coefficient)

    def _relabelling_confidence(self, sides: list[SideViews]) -> list[Tensor | None]:
        """Mean f_k over the relabelling views by the current weights in eval mode; all sides pass in one batch."""
        passed = [side.relabel.flatten(0, 1) for side in sides if side.relabel is not None]
        if not passed:
            return [None] * len(sides)
        mean = self.engine.logits(torch.cat(passed)).sigmoid()
        confidences: list[Tensor | None] = []
        start = 0
        for side in sides:
            confidence_BK = mean.new_full((len(side.rows), mean.shape[1]), 0.5)
            if side.relabel is not None:
                views, doubtful = side.relabel.shape[:2]
                part = mean[start : start + views * doubtful].view(views, doubtful, -1)
                confidence_BK[side.doubtful] = part.mean(dim=0)
                start += views * doubtful
            confidences.append(confidence_BK)
        return confidences

    def _learn(self, manage: bool) -> EpochPass | None:
        """What the recipe learns from a pass by the current weights; one process fits, the others take it over."""
        self._plain_pass = None
        if not self.recipe.wants_pass(manage):
            return None
        if self.recipe.passes_views(manage):
            learnt_from = self._pass(DrawnViews(self.augment, self.plan.seed, ("audit", self.epoch)))
        else:
            learnt_from = self._pass(PlainViews())
            # The last one serves `close` too; the others' matrices would only take memory.
            self._plain_pass = learnt_from if self.epoch == self.plan.epochs else None
        if self.ranks.first:
            self.recipe.end_epoch(learnt_from, manage)
        if self.ranks.count > 1:
            self.recipe.load_state(self.ranks.from_first(self.recipe.state(), self.engine.device))
        return learnt_from

    def _pass(self, seen: PlainViews | DrawnViews) -> EpochPass:
        return epoch_pass(self.engine, self.images, self.recipe.given_NK, seen)

    def _validation_map(self) -> float | None:
        if self.validation is None:
            return None
        images, labels_VK = self.validation
        with self.engine.measured():
            scores_VK = confidence(self.engine, images, PlainViews())
        average_precision_K = average_precision(scores_VK.cpu().numpy(), labels_VK.cpu().numpy())
        present = average_precision_K[average_precision_K == average_precision_K]
        return float(present.mean()) if len(present) else None
