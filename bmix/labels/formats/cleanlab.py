"""Given labels and out-of-fold probabilities as cleanlab's multi-label functions take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.labels.formats.images import LabelledImages
from bmix.support.files import write_json

_DIGITS = 6


def write_cleanlab(images: LabelledImages, output: Path) -> None:
    """One JSON: `class_names`; for each image `ids`, `files`, `splits`, `labels` (numbers of the given classes),
    `pred_probs` (a probability per class) and `suggested_labels`, or `corrected_labels` where something corrects them.
    """
    name = "corrected_labels" if images.corrected else "suggested_labels"
    frame = images.frame
    content = {
        "class_names": images.run.classes,
        "ids": frame["id"].tolist(),
        "files": frame["file"].tolist(),
        "splits": frame["split"].tolist(),
        "labels": images.numbers("given"),
        "pred_probs": np.round(images.p_given_present(), _DIGITS).tolist(),
        name: images.numbers("labels"),
    }
    write_json(output, content)
