"""The one loop that trains every recipe (Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from bmix.data.augment import Augment
from bmix.data.stores import FeatureViews, Store
from bmix.errors import InputError
from bmix.evaluation.metrics import average_precision
from bmix.method.ledger import Ledger
from bmix.models.predict import EVALUATION_BATCH, predict_confidence
from bmix.models.store import Classifier
from bmix.recipes.base import Recipe, Step
from bmix.training.audit import audit_labels
from bmix.training.plan import Plan
from bmix.training.records import EpochTotals, Records
from bmix.training.steps import EpochSteps, SideViews, StepViews, closing_views, draw_pairs, load_steps

OnStep = Callable[[int, int, int], None]
"""(epoch, step, steps) -> None, after every step."""


class Trainer:
    """A run: the classifier, its optimiser, the recipe and the records, after `epoch` finished epochs.

    It changes `classifier` in place. `images`: the training instances by row, images or features. `validation`: more
    of them and their labels (V, K) of 0, 1 and -1 for ignored, or None.
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        images: Store,
        plan: Plan,
        augment: Augment | FeatureViews,
        validation: tuple[Store, Tensor] | None = None,
    ) -> None:
        self.classifier, self.recipe, self.images = classifier, recipe, images
        self.plan, self.augment, self.validation = plan, augment, validation
        self.optimizer = plan.build_optimizer(classifier)
        self.records = Records()
        self.epoch = 0

    def train_epoch(self, on_step: OnStep | None = None) -> None:
        """One epoch: all steps, then the audit that the next epoch's sampler and mixtures come from."""
        started = time.perf_counter()
        epoch = self.epoch + 1
        probability_N = self.recipe.partner_probability()
        pairs = draw_pairs(
            len(self.images), self.recipe.mixes, probability_N, self.recipe.settings.alpha, self.plan.seed, epoch
        )
        doubtful_N = self.recipe.doubtful_rows()
        steps = EpochSteps(
            self.images,
            self.augment,
            pairs,
            None if doubtful_N is None else doubtful_N.cpu(),
            self.plan.batch_size,
            self.plan.seed,
            epoch,
        )
        totals = EpochTotals()
        for number, views in enumerate(load_steps(steps)):
            self._step(views, (self.epoch + number / len(steps)) / self.plan.epochs, epoch, number, totals)
            if on_step is not None:
                on_step(epoch, number + 1, len(steps))
        phase = "managed" if self.recipe.managing else "warmup" if epoch <= self.plan.warmup_epochs else "plain"
        self.epoch = epoch
        audit = audit_labels(self.classifier, self.images, self.recipe.given_NK)
        self.recipe.end_epoch(audit, manage=epoch >= self.plan.warmup_epochs)
        learning_rate = self.optimizer.param_groups[0]["lr"]
        self.records.add_epoch(epoch, phase, learning_rate, totals, audit, self._validation_map(), self.recipe)
        self.records.seconds.append(time.perf_counter() - started)

    def close(self) -> Ledger:
        """The closing audit with the final weights and two views of every doubtful image."""
        audit = audit_labels(self.classifier, self.images, self.recipe.given_NK)
        return self.recipe.close(audit, self._closing_confidence)

    def _step(self, views: StepViews, progress: float, epoch: int, number: int, totals: EpochTotals) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate_at(progress)
        step = self._to_step(views)
        self.classifier.train()
        result = self.recipe.step(self.classifier, step)
        if not torch.isfinite(result.loss):
            raise InputError(
                f"training, epoch {epoch}, step {number + 1}",
                f"the loss is {result.loss.item()}",
                "a finite loss",
                f"lower training.learning_rate ({self.optimizer.param_groups[0]['lr']:.2e} at this step)",
            )
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        self.optimizer.step()
        totals.add(result.loss.detach(), result.verdict, self.recipe.given_NK[step.rows])

    def _to_step(self, views: StepViews) -> Step:
        device = self.classifier.device
        random = views.random.to(device)
        minority = None if views.minority is None else views.minority.to(device)
        sides = [side for side in (random, minority) if side is not None]
        confidences = self._confidence(sides)
        return Step(
            rows=random.rows,
            views=self.classifier.normalise(random.train),
            confidence=confidences[0],
            minority_rows=None if minority is None else minority.rows,
            minority_views=None if minority is None else self.classifier.normalise(minority.train),
            minority_confidence=None if minority is None else confidences[1],
            coefficient=None if views.coefficient is None else views.coefficient.to(device),
        )

    @torch.no_grad()
    def _confidence(self, sides: list[SideViews]) -> list[Tensor | None]:
        """Mean f_k over the relabelling views by the current weights in eval mode; all sides pass in one batch."""
        passed = [side.relabel.flatten(0, 1) for side in sides if side.relabel is not None]
        if not passed:
            return [None] * len(sides)
        self.classifier.eval()
        mean = self.classifier(self.classifier.normalise(torch.cat(passed))).float().sigmoid()
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

    @torch.no_grad()
    def _closing_confidence(self, rows: Tensor) -> Tensor:
        self.classifier.eval()
        device = self.classifier.device
        parts = []
        for part in rows.split(EVALUATION_BATCH):
            views = closing_views(self.images.read(part.cpu()), self.augment, part, self.plan.seed).to(device)
            logits = self.classifier(self.classifier.normalise(views.flatten(0, 1)))
            parts.append(logits.float().sigmoid().view(len(views), len(part), -1).mean(dim=0))
        return torch.cat(parts) if parts else self.recipe.given_NK.new_empty(0, self.recipe.given_NK.shape[1]).float()

    def _validation_map(self) -> float | None:
        if self.validation is None:
            return None
        images, labels_VK = self.validation
        scores_VK = predict_confidence(self.classifier, images)
        average_precision_K = average_precision(scores_VK.cpu().numpy(), labels_VK.cpu().numpy())
        present = average_precision_K[average_precision_K == average_precision_K]
        return float(present.mean()) if len(present) else None
