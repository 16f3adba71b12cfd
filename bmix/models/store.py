"""A trained model as a folder of files, and as a module that takes pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from bmix.data.images import image_tensor, load_image
from bmix.models.backbones import build_classifier, normalisation
from bmix.models.calibration import Calibration, read_calibration
from bmix.models.ensemble import Ensemble, Network, build_members
from bmix.models.heads import HeadSettings
from bmix.models.registry import BACKBONES, HEADS, MULTI_LABEL, SINGLE_LABEL, SPEC, TASKS, WEIGHTS, is_backbone
from bmix.models.weights import load_weights, read_weights
from bmix.support.errors import InputError, listed
from bmix.support.files import replaced, write_json
from bmix.support.readers import Made, read_json_file, shown

Picture = Image.Image | str | Path

BATCH = 64
"""Pictures that a prediction passes through the network at once."""

ADDED = ("hidden", "norm", "dropout", "prototypes", "sigma", "diversity", "members", "task")
"""Keys of model.json that models written before these settings lack."""


@dataclass(frozen=True)
class ClassifierSpec:
    """How a trained network is rebuilt and fed; the content of model.json.

    `features`: how many the backbone identity takes, which has no use for the image size, the mean and the deviation;
    None for the other backbones. `members`: how many networks predict as one. `task`: one of TASKS. The others: see
    HeadSettings.
    """

    backbone: str
    head: str
    image_size: int
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    queries: int = 0
    features: int | None = None
    hidden: int = 0
    norm: str = "batch"
    dropout: float = 0.0
    members: int = 1
    prototypes: int = 5
    sigma: float = 10.0
    diversity: float = 1.0
    task: str = MULTI_LABEL

    @classmethod
    def of(
        cls,
        backbone: str,
        head: str,
        image_size: int,
        classes: Sequence[str],
        head_settings: HeadSettings | None = None,
        features: int | None = None,
        members: int = 1,
        task: str = MULTI_LABEL,
    ) -> ClassifierSpec:
        """The spec of a new model, with its backbone's normalisation."""
        mean, std = normalisation(backbone)
        settings = asdict(head_settings or HeadSettings())
        names = tuple(classes)
        return cls(
            backbone, head, image_size, names, mean, std, features=features, members=members, task=task, **settings
        )

    @property
    def single_label(self) -> bool:
        """Whether every image has exactly one class."""
        return self.task == SINGLE_LABEL

    @property
    def head_settings(self) -> HeadSettings:
        """The head's settings."""
        return HeadSettings.of(self)

    def content(self) -> dict[str, Any]:
        """The content of model.json; what was added to it since the first models is left out at its default."""
        added = {field.name: field.default for field in fields(self) if field.name in ADDED}
        return {name: value for name, value in asdict(self).items() if name not in added or value != added[name]}


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
    spec = _read_spec(folder / SPEC)

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


def _read_spec(path: Path) -> ClassifierSpec:
    made = Made(
        "the model's description", "give a folder that bmix wrote a model to, such as models/final, or train again"
    )
    content = read_json_file(path, made)
    rules = {
        "backbone": (
            f"one of {', '.join(BACKBONES)}, timm/NAME",
            lambda value: isinstance(value, str) and is_backbone(value),
        ),
        "head": (f"one of {', '.join(HEADS)}", lambda value: isinstance(value, str) and value in HEADS),
        "image_size": ("a whole number of at least 1", lambda value: type(value) is int and value >= 1),
        "classes": ("a list of class names, none twice", _is_names),
        "mean": ("three numbers", _is_triple),
        "std": ("three numbers above 0", lambda value: _is_triple(value) and min(value) > 0),
        "queries": ("a whole number of at least 0", lambda value: type(value) is int and value >= 0),
        "hidden": ("a whole number of at least 0", lambda value: type(value) is int and value >= 0),
        "norm": ("batch or none", lambda value: value in ("batch", "none")),
        "dropout": ("a number from 0 to below 1", lambda value: type(value) in (int, float) and 0 <= value < 1),
        "prototypes": ("a whole number from 1 to 1000", lambda value: type(value) is int and 1 <= value <= 1000),
        "sigma": ("a number above 0", lambda value: type(value) in (int, float) and 0 < value < math.inf),
        "diversity": ("a number of at least 0", lambda value: type(value) in (int, float) and 0 <= value < math.inf),
        "task": (f"one of {', '.join(TASKS)}", lambda value: value in TASKS),
        "members": ("a whole number from 1 to 100", lambda value: type(value) is int and 1 <= value <= 100),
        "features": (
            "a whole number of at least 1 for the backbone identity, null for the others",
            lambda value: type(value) is int and value >= 1 if content["backbone"] == "identity" else value is None,
        ),
    }
    # Models written before there were other heads and features name neither.
    later = {"queries": 0, "features": None, **{field.name: field.default for field in fields(ClassifierSpec)[8:]}}
    content = later | content if isinstance(content, dict) else content
    if not isinstance(content, dict) or set(content) != set(rules):
        found = f"keys {listed(sorted(content), 20)}" if isinstance(content, dict) else type(content).__name__
        made.refuse(path, found, f"the keys {', '.join(rules)}")
    for key, (expected, fits) in rules.items():
        if not fits(content[key]):
            made.refuse(path, f"{key} is {shown(content[key])}", expected)
    sequences = {key: tuple(content[key]) for key in ("classes", "mean", "std")}
    return ClassifierSpec(**{**content, **sequences})


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, str) for n in value) and 0 < len(value) == len(set(value))


def _is_triple(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(type(v) in (int, float) and math.isfinite(v) for v in value)
    )
