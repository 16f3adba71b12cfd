"""The picture of two-dimensional features, from a handful of images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import affinity_picture
from tests.benchmarks.test_mnist import write_archive


def test_both_heads_are_trained_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_archive(tmp_path)
    picture = tmp_path / "features.png"
    monkeypatch.setattr(affinity_picture, "TEST", 40)
    sizes = ["--train", "100", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["affinity_picture", str(tmp_path / "mnist.npz"), str(picture), *sizes])
    affinity_picture.main()
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "softmax: test error" in printed
    assert "affinity, m = 1: test error" in printed
