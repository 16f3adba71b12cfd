"""The load test of the service at toy size: nothing is lost, also when the model is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import serving
from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier


@pytest.mark.slow
def test_every_request_is_answered_and_a_bomb_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = ClassifierSpec.of("small", "linear", 16, ["a", "b"])
    save_classifier(Classifier(build_classifier("small", "linear", 2, "none", 0), spec), tmp_path)
    arguments = ["--model", str(tmp_path), "--seconds", "1", "--clients", "3", "--side", "40", "--replace"]
    assert serving.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "not with 200: 0" in shown
    assert "bomb         413: the image has too many pixels to be safe" in shown
