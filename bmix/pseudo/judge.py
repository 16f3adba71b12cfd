"""The images of split unlabelled as a trained model labels them."""

from __future__ import annotations

import numpy as np

from bmix.data.manifest import Manifest
from bmix.data.stores import open_store
from bmix.params import Params
from bmix.pseudo.labels import pseudo_classes, pseudo_labels
from bmix.training.loop import Trainer
from bmix.training.passes import PlainViews, confidence

SPLIT = "unlabelled"


def judge(trainer: Trainer, params: Params, manifest: Manifest) -> np.ndarray:
    """The pseudo-labels by the network that `trainer` holds, int8 (U, K) of 0, 1 and -1, by the thresholds of params.

    Of single-label data the likeliest class alone. By the averaged weights where training averages them.
    """
    images = open_store(manifest, SPLIT, params.image_root, params.data.image_size)
    with trainer.engine.measured():
        confidence_UK = confidence(trainer.engine, images, PlainViews()).cpu().numpy()
    if params.single_label:
        return pseudo_classes(confidence_UK, params.pseudo.present)
    return pseudo_labels(confidence_UK, params.pseudo.present, params.pseudo.absent)
