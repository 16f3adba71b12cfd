"""A pass over stored images or features in eval mode, without gradients and without augmentation."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.data.stores import Store, plain_views
from bmix.models.store import Classifier
from bmix.support.pace import Pace

EVALUATION_BATCH = 64


@torch.no_grad()
def predict(classifier: Classifier, images: Store, batch_size: int = EVALUATION_BATCH) -> tuple[Tensor, Tensor]:
    """f_k(x) of every image as stored, of features by view 0, in [0, 1], and the logits that it comes from.

    Both float32 (N, K) on the classifier's device, as the network gives them: no temperature is applied.
    """
    classifier.eval()
    device = classifier.device
    logits: list[Tensor] = []
    confidence: list[Tensor] = []
    with Pace("measured", len(images)) as pace:
        for rows in torch.arange(len(images)).split(batch_size) if len(images) else []:
            views = plain_views(images, rows).to(device, non_blocking=True)
            logits.append(classifier(classifier.normalise(views)).float())
            confidence.append(classifier.confidence(logits[-1]))
            pace.tell(int(rows[-1]) + 1)
    empty = torch.empty(0, len(classifier.spec.classes), device=device)
    return (torch.cat(confidence), torch.cat(logits)) if logits else (empty, empty)


def predict_logits(classifier: Classifier, images: Store, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """The logits alone, float32 (N, K): they tell very sure answers apart, which in float32 are 0 or 1."""
    return predict(classifier, images, batch_size)[1]
