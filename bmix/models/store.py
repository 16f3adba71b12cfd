"""A trained model as a folder of files, and as a module that takes pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from bmix.data.images import image_tensor, load_image
from bmix.models.backbones import build_classifier
from bmix.models.calibration import Calibration, read_calibration
from bmix.models.ensemble import Ensemble, Network, build_members
from bmix.models.registry import SPEC, WEIGHTS
from bmix.models.spec import ClassifierSpec, read_spec
from bmix.models.weights import load_weights, read_weights
from bmix.support.errors import InputError
from bmix.support.files import replaced, write_json

Picture = Image.Image | str | Path

BATCH = 64
"""Pictures that a prediction passes through the network at once."""


class Classifier(nn.Module):
    """A network with all that is needed to use it on pictures, or on features where the backbone is identity."""

    _mean: Tensor
    _std: Tensor

    def __init__(self, network: nn.Module, spec: ClassifierSpec, calibration: Calibration | None = None) -> None:
        super().__init__()
        self.network = network
        self.spec = spec
        self.calibration = calibration or Calibration.unfitted(len(spec.classes))
        for name, values in (("_mean", spec.mean), ("_std", spec.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in column order."""
        return self.spec.classes

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.network.parameters()).device

    def normalise(self, images_B: Tensor) -> Tensor:
        """Images uint8 (B, 3, S, S), on the classifier's device, as float32 with about zero mean and unit deviation.

        Features (B, D) come back as float32 and nothing else: the network itself standardises them.
        """
        if self.spec.features is not None:
            return images_B.float()
        return (images_B.float() / 255 - self._mean) / self._std

    def forward(self, images_B: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S) or features (B, D), float, to logits (B, K).

        Of an ensemble of M networks (M, B, K) in training mode, and those of their mean probability else.
        """
        return self.network(images_B)

    def member_logits(self, images_B: Tensor) -> Tensor:
        """The logits of every network by itself, (M, B, K), whatever the mode; M is 1 but for an ensemble."""
        network = self.network
        return network.member_logits(images_B) if isinstance(network, Ensemble) else network(images_B)[None]

    def confidence(self, logits_BK: Tensor) -> Tensor:
        """f_k of logits (..., K), each in [0, 1]: their sigmoid, or their softmax where every image has one class."""
        return logits_BK.softmax(dim=-1) if self.spec.single_label else logits_BK.sigmoid()

    def probabilities(self, logits_BK: Tensor) -> Tensor:
        """The probability of every class, float32 (B, K): the confidence by the logits over the fitted temperature."""
        return self.confidence(logits_BK.float() / self.calibration.temperature)

    def present(self, probabilities_BK: np.ndarray) -> np.ndarray:
        """Which classes an image is said to show, bool (B, K): those that reach their thresholds, or the likeliest."""
        if self.spec.single_label:
            likeliest_B1 = probabilities_BK.argmax(axis=1, keepdims=True)
            return np.arange(len(self.classes)) == likeliest_B1
        return self.calibration.present(probabilities_BK)

    def classify(self, images_B: Tensor) -> Tensor:
        """The probabilities, float32 (B, K) on the CPU, of images uint8 (B, 3, S, S) as `load_image` reads them.

        Of features (B, D) where the model takes these. The mode and the gradients are the caller's.
        """
        return self.probabilities(self(self.normalise(images_B.to(self.device)))).cpu()

    def predict(self, images: Tensor | Picture | Iterable[Picture], batch_size: int = BATCH) -> Tensor:
        """The probability of every class in every picture, float32 (B, K) on the CPU, columns as in `classes`.

        `images`: uint8 (B, 3, H, W) RGB, a PIL image, the path of an image file, or several of the latter two; of any
        size, resized as in training. With the backbone identity: features, a float tensor (B, D), and nothing else.
        Evaluation mode and no gradient, whatever mode the module is in. `present` says which classes are shown.
        InputError for a tensor of another form and for a file that is no image.
        """
        was_training = self.network.training
        self.network.eval()
        batches = [torch.empty((0, len(self.classes)))]
        try:
            with torch.no_grad():
                inputs = self._features(images) if self.spec.features is not None else _pictures(images)
                for start in range(0, len(inputs), batch_size):
                    images_B = torch.stack([self._read(item) for item in inputs[start : start + batch_size]])
                    batches.append(self.classify(images_B))
        finally:
            self.network.train(was_training)
        return torch.cat(batches)

    def _features(self, features: Any) -> Tensor:
        count = self.spec.features
        if not isinstance(features, Tensor):
            found = type(features).__name__
        elif not features.is_floating_point() or features.ndim != 2 or features.shape[1] != count:
            found = f"{features.dtype} {tuple(features.shape)}"
        else:
            return features
        raise InputError(
            "predict", found, f"a float tensor (B, {count})", "give the features that the model was trained on"
        )

    def _read(self, picture: Tensor | Picture) -> Tensor:
        if self.spec.features is not None and isinstance(picture, Tensor):
            return picture
        if isinstance(picture, Tensor):
            picture = Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()))
        if isinstance(picture, Image.Image):
            return image_tensor(picture, self.spec.image_size)
        return load_image(Path(picture), self.spec.image_size)


def _pictures(images: Tensor | Picture | Iterable[Picture]) -> Tensor | list[Picture]:
    if isinstance(images, Tensor):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise InputError(
                "predict",
                f"a tensor of {images.dtype} {tuple(images.shape)}",
                "uint8 (B, 3, H, W), RGB from 0 to 255",
                "give pixel values, unscaled, or PIL images or paths",
            )
        return images
    if isinstance(images, Image.Image | str | Path):
        return [images]
    return list(images)


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write model.safetensors and model.json into `folder`; equal models give equal bytes."""
    state = {name: value.detach().cpu().contiguous() for name, value in classifier.network.state_dict().items()}
    with replaced(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(state))
    write_json(folder / SPEC, classifier.spec.content())


def load_classifier(folder: Path, calibrated: bool = True) -> Classifier:
    """Read what `save_classifier` wrote, and the calibration if there is one: on the CPU, in evaluation mode.

    calibrated: false leaves the calibration unread. InputError if a file is missing or corrupt, or if they do not fit
    each other.
    """
    spec = read_spec(folder / SPEC)

    def build(seed: int, weights: str) -> Network:
        return build_classifier(
            spec.backbone,
            spec.head,
            len(spec.classes),
            weights,
            seed,
            spec.features,
            spec.head_settings,
            spec.image_size,
        )

    network = build_members(spec.members, 0, build, "none")
    weights = folder / WEIGHTS
    load_weights(network, read_weights(weights), str(weights), whole=True)
    calibration = read_calibration(folder, spec.classes, weights) if calibrated else None
    return Classifier(network, spec, calibration).eval()
