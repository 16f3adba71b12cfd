"""Many image files through a model: batch by batch, with the time left; what cannot be read is set aside."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bmix.data.images import load_image, usable_cores
from bmix.models.store import BATCH, Classifier
from bmix.serving.pictures import Pictures
from bmix.support.errors import InputError
from bmix.support.pace import Pace


@dataclass(frozen=True)
class Predictions:
    """What a model says of the images that could be read.

    names (N); probabilities_NK: float32 in [0, 1]; present_NK: bool, whether a class reaches its threshold.
    unreadable: the others by name, with what is wrong.
    """

    classes: tuple[str, ...]
    names: list[str]
    probabilities_NK: np.ndarray
    present_NK: np.ndarray
    unreadable: dict[str, str] = field(default_factory=dict)


def predict_pictures(model: Classifier, pictures: Pictures, batch_size: int = BATCH) -> Predictions:
    """Predict every image that can be read, in the order given; InputError for a model of features.

    The numbers are those of `model.predict`; images are decoded as in training, those of the next batch meanwhile.
    """
    size = image_size(model)
    names: list[str] = []
    parts: list[Tensor] = []
    unreadable: dict[str, str] = {}
    done = 0
    with Pace("predicted", len(pictures)) as pace, torch.inference_mode():
        for batch_names, read in _batches(pictures, size, batch_size):
            unreadable |= {name: fault for name, fault in zip(batch_names, read, strict=True) if isinstance(fault, str)}
            names += [name for name, image in zip(batch_names, read, strict=True) if isinstance(image, Tensor)]
            if images := [image for image in read if isinstance(image, Tensor)]:
                parts.append(model.classify(torch.stack(images)))
            done += len(batch_names)
            pace.tell(done)
    probabilities_NK = torch.cat(parts).numpy() if parts else np.empty((0, len(model.classes)), np.float32)
    present_NK = model.present(probabilities_NK)
    return Predictions(model.classes, names, probabilities_NK, present_NK, unreadable)


def image_size(model: Classifier) -> int:
    """The side in pixels of the images that a model takes; InputError if it takes features."""
    if model.spec.features is not None:
        raise InputError(
            "model.json",
            f"a model of vectors of {model.spec.features} features",
            "a model of images",
            'give the features to it from Python: bmix.load_model("models/final").predict(features)',
        )
    return model.spec.image_size


def _batches(pictures: Pictures, size: int, batch_size: int) -> Iterator[tuple[list[str], list[Tensor | str]]]:
    """Names and what was read of each, an image or a fault; the next batch is read while one is worked on."""
    root = pictures.root.resolve() if pictures.root is not None else None
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        waiting: deque[tuple[list[str], list[Future[Tensor | str]]]] = deque()
        for start in range(0, len(pictures), batch_size):
            rows = slice(start, start + batch_size)
            reading = [pool.submit(_read, path, root, size) for path in pictures.paths[rows]]
            waiting.append((pictures.names[rows], reading))
            if len(waiting) > 1:
                names, read = waiting.popleft()
                yield names, [each.result() for each in read]
        for names, read in waiting:
            yield names, [each.result() for each in read]


def _read(path: Path, root: Path | None, size: int) -> Tensor | str:
    """An image as training reads it, or what is wrong with the file."""
    try:
        if root is not None and not path.resolve().is_relative_to(root):
            return f"lies outside of {root.name or root}, by way of a symbolic link"
        if not path.exists():
            return "no such file"
        return load_image(path, size)
    except InputError as error:
        return error.found
    except (OSError, ValueError) as error:
        # A name that no file system takes.
        return str(error)
