"""A pass over stored images or features in eval mode, without gradients and without augmentation."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.data.stores import Store, plain_views
from bmix.models.store import Classifier
from bmix.support.pace import Pace

EVALUATION_BATCH = 64


@torch.no_grad()
def predict_confidence(classifier: Classifier, images: Store, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """f_k(x) of every image as stored, of features by view 0: float32 (N, K) in [0, 1] on the classifier's device."""
    classifier.eval()
    device = classifier.device
    parts: list[Tensor] = []
    with Pace("measured", len(images)) as pace:
        for rows in torch.arange(len(images)).split(batch_size) if len(images) else []:
            views = plain_views(images, rows).to(device, non_blocking=True)
            parts.append(classifier(classifier.normalise(views)).float().sigmoid())
            pace.tell(int(rows[-1]) + 1)
    return torch.cat(parts) if parts else torch.empty(0, len(classifier.spec.classes), device=device)
