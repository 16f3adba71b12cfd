"""A pass over stored images or features in eval mode, without gradients and without augmentation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bmix.data.stores import Store, plain_views
from bmix.models.store import Classifier
from bmix.support.pace import Pace

EVALUATION_BATCH = 64


def predict_confidence(classifier: Classifier, images: Store, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """f_k(x) of every image as stored, of features by view 0: float32 (N, K) in [0, 1] on the classifier's device."""
    return _predict(classifier, images, batch_size, torch.sigmoid)


def predict_logits(classifier: Classifier, images: Store, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """The log-odds of the same, float32 (N, K): they tell very sure answers apart, which in float32 are 0 or 1."""
    return _predict(classifier, images, batch_size, lambda logits: logits)


@torch.no_grad()
def _predict(classifier: Classifier, images: Store, batch_size: int, answer: Callable[[Tensor], Tensor]) -> Tensor:
    classifier.eval()
    device = classifier.device
    parts: list[Tensor] = []
    with Pace("measured", len(images)) as pace:
        for rows in torch.arange(len(images)).split(batch_size) if len(images) else []:
            views = plain_views(images, rows).to(device, non_blocking=True)
            parts.append(answer(classifier(classifier.normalise(views)).float()))
            pace.tell(int(rows[-1]) + 1)
    return torch.cat(parts) if parts else torch.empty(0, len(classifier.spec.classes), device=device)
