"""The audit: what the model thinks of every given label of the training set."""

from __future__ import annotations

from torch import Tensor

from bmix.data.stores import Store
from bmix.method.objective import label_losses
from bmix.models.predict import predict_logits
from bmix.models.store import Classifier
from bmix.recipes.base import Audit


def audit_labels(classifier: Classifier, images: Store, given_NK: Tensor) -> Audit:
    """The pass that eq. 2-4 and 6-8 work on: BCE of every GIVEN label and every confidence, by the current weights."""
    logits_NK = predict_logits(classifier, images)
    return Audit(label_losses(logits_NK, given_NK), logits_NK.sigmoid())
