"""A model in formats that other programs run, with preprocessing, class names and thresholds inside and beside it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bmix.models.store import Classifier
from bmix.support.errors import InputError
from bmix.support.files import replaced, write_json

INPUT, OUTPUT = "images", "probabilities"
FEATURES = "features"
"""The name of the input of a model of features."""
TOLERANCE = 1e-5
"""The largest difference from the model's own probabilities with which an export is kept."""
DESCRIPTION = "bmix"
"""The key of the description among a file's metadata."""
_TRIED = (1, 3)
"""Batch sizes by which an export is checked; it is made with another one."""
_MADE_WITH = 2


class Deployed(nn.Module):
    """Images uint8 (B, 3, S, S), or features float32 (B, D), to probabilities float32 (B, K): all but decoding."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs_B: Tensor) -> Tensor:
        """Normalise, classify, divide by the temperature."""
        model = self.model
        return model.probabilities(model(model.normalise(inputs_B)))


def export(model: Classifier, path: Path, form: str) -> float:
    """Write a model in one of FORMATS to `path`, and its description beside it with .json added to the name.

    The model is put on the CPU, into evaluation mode and without gradients. Returns the largest difference between its
    probabilities and those of what was written, on random inputs, 0 for `safetensors`, which holds weights alone; where
    it is above TOLERANCE nothing is kept and RuntimeError raised.
    InputError if a package is missing.
    """
    model = model.cpu().eval().requires_grad_(False)
    told = description(model)
    with replaced(path) as temporary:
        _WRITERS[form](model, temporary, json.dumps(told, ensure_ascii=False))
        difference = max(_difference(model, temporary, form, size) for size in _TRIED)
        if not difference <= TOLERANCE:
            raise RuntimeError(f"the {form} export differs from the model by {difference:.2g}: nothing was written")
    write_json(path.with_name(f"{path.name}.json"), told)
    return difference


def description(model: Classifier) -> dict[str, Any]:
    """What a program must know to use an export: what goes in, what comes out, and when a class counts as present."""
    spec, calibration = model.spec, model.calibration
    function = "softmax" if spec.single_label else "sigmoid"
    if spec.features is None:
        size = spec.image_size
        taken = {
            "name": INPUT,
            "type": "uint8",
            "shape": ["batch", 3, size, size],
            "content": "RGB from 0 to 255, turned as EXIF says; normalisation is part of the model",
            "resize": f"to {size} x {size}, bilinear with antialiasing (Pillow's BILINEAR), aspect ratio not kept",
        }
    else:
        taken = {"name": FEATURES, "type": "float32", "shape": ["batch", spec.features], "content": "as in training"}
    return {
        "input": taken,
        "output": {
            "name": OUTPUT,
            "type": "float32",
            "shape": ["batch", len(spec.classes)],
            "content": f"{function}(logit / temperature) of each class; the division is part of the model",
        },
        "classes": list(spec.classes),
        "temperature": calibration.temperature,
        "thresholds": list(calibration.thresholds),
        "fitted_on": calibration.fitted_on,
        "model": {key: list(value) if isinstance(value, tuple) else value for key, value in spec.content().items()},
    }


def _example(model: Classifier, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    if model.spec.features is not None:
        return torch.randn(count, model.spec.features, generator=generator)
    size = model.spec.image_size
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def _write_onnx(model: Classifier, path: Path, told: str) -> None:
    _refuse_missing("onnx", "onnxscript", "onnxruntime")
    import onnx

    name = INPUT if model.spec.features is None else FEATURES
    with _quiet():
        torch.onnx.export(
            Deployed(model).eval(),
            (_example(model, _MADE_WITH),),
            str(path),
            input_names=[name],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    made = onnx.load(path)
    values = {DESCRIPTION: told, **{key: json.dumps(value) for key, value in json.loads(told).items()}}
    onnx.helper.set_model_props(made, values)
    onnx.save(made, path)


def _write_torchscript(model: Classifier, path: Path, told: str) -> None:
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(Deployed(model).eval(), _example(model, _MADE_WITH), check_trace=False)
        torch.jit.save(traced, str(path), _extra_files={f"{DESCRIPTION}.json": told})


def _write_safetensors(model: Classifier, path: Path, told: str) -> None:
    state = {name: value.detach().contiguous() for name, value in model.network.state_dict().items()}
    save_file(state, path, metadata={DESCRIPTION: told})


_WRITERS: dict[str, Callable[[Classifier, Path, str], None]] = {
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
    "safetensors": _write_safetensors,
}
FORMATS = tuple(_WRITERS)


def _difference(model: Classifier, path: Path, form: str, count: int) -> float:
    """The largest difference of an export's probabilities from the model's, for a batch of `count`."""
    if form == "safetensors":
        return 0.0
    inputs = _example(model, count)
    with torch.inference_mode():
        expected = Deployed(model)(inputs)
        if form == "torchscript":
            with _quiet():
                found = torch.jit.load(str(path))(inputs)
        else:
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0])
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max())


def _refuse_missing(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(
            "--format onnx", f"{', '.join(missing)} is not installed", "the extra onnx", 'pip install "bmix[onnx]"'
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks on formats of its own that it will not develop further."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
