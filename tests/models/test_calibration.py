from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from bmix import load_model
from bmix.models.backbones import build_classifier
from bmix.models.calibration import CALIBRATION, weights_digest
from bmix.models.spec import ClassifierSpec
from bmix.models.store import WEIGHTS, Classifier, save_classifier
from bmix.support.errors import InputError
from bmix.support.files import write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = build_classifier("small", "linear", 2, "none", seed=0)
    save_classifier(Classifier(network, ClassifierSpec.of("small", "linear", 16, ["cat", "dog"])), tmp_path)
    return tmp_path


def stored(folder: Path, **changes: Any) -> None:
    classes = {"cat": {"threshold": 0.25}, "dog": {"threshold": 0.75}}
    content = {"weights": weights_digest(folder / WEIGHTS), "split": "val", "temperature": 2.0, "classes": classes}
    write_json(folder / CALIBRATION, content | changes)


def test_a_model_without_calibration_has_none(folder: Path) -> None:
    model = load_model(folder)
    assert model.calibration.temperature == 1
    assert model.calibration.thresholds == (0.5, 0.5)
    assert model.calibration.fitted_on is None


def test_the_temperature_divides_the_logits(folder: Path) -> None:
    images = torch.arange(2 * 3 * 256).remainder(251).to(torch.uint8).reshape(2, 3, 16, 16)
    plain = load_model(folder).predict(images)
    stored(folder)
    model = load_model(folder)
    torch.testing.assert_close(model.predict(images), (plain.logit() / 2).sigmoid())
    assert model.calibration.thresholds == (0.25, 0.75)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": "0" * 16}, "was fitted to other weights than those of model.safetensors"),
        ({"classes": {"dog": {"threshold": 0.5}, "cat": {"threshold": 0.5}}}, "is about the classes dog, cat"),
        ({"classes": {"cat": {"threshold": 2}, "dog": {}}}, "the threshold of 'cat' is 2"),
        ({"classes": []}, "holds no classes"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": True}, "temperature is True"),
        ({"split": 3}, "split is 3"),
    ],
)
def test_what_does_not_belong_to_the_model_is_refused(folder: Path, changes: dict[str, Any], told: str) -> None:
    stored(folder, **changes)
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        load_model(folder)
    assert caught.value.where.endswith(CALIBRATION)
    assert "dvc repro --force --single-item evaluate" in caught.value.remedy
