"""Passes in eval mode without gradients: confidences, and the audit of the training set."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.data.images import ImageStore
from bmix.method.objective import label_losses
from bmix.models.store import Classifier
from bmix.recipes.base import Audit

EVALUATION_BATCH = 256


@torch.no_grad()
def predict_logits(classifier: Classifier, images: ImageStore, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """Logits of every image as stored, without augmentation: float32 (N, K) on the classifier's device."""
    classifier.eval()
    device = classifier.device
    parts = [
        classifier(classifier.normalise(images.read(rows).to(device, non_blocking=True))).float()
        for rows in torch.arange(len(images)).split(batch_size)
    ]
    return torch.cat(parts) if parts else torch.empty(0, len(classifier.spec.classes), device=device)


def predict_confidence(classifier: Classifier, images: ImageStore, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """f_k(x) of every image, float32 (N, K) in [0, 1]."""
    return predict_logits(classifier, images, batch_size).sigmoid()


def audit_labels(classifier: Classifier, images: ImageStore, given_NK: Tensor) -> Audit:
    """The pass that eq. 2-4 and 6-8 work on: BCE of every GIVEN label and every confidence, by the current weights."""
    logits_NK = predict_logits(classifier, images)
    return Audit(label_losses(logits_NK, given_NK), logits_NK.sigmoid())
