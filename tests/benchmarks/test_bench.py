from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench, data_scale, noise

ROOT = Path(__file__).resolve().parents[2]


def test_the_last_line_is_a_json_object_with_name_and_ratios(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = noise.bench
    monkeypatch.setattr(noise, "bench", lambda: small(images=300, rounds=2))
    bench.main(["noise"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["name"] == "noise"
    assert (figures["images"], figures["rounds"]) == (300, 2)
    assert set(figures["ratios"]) == {"mislabel", "flip", "single-positive"}
    for kind, ratio in figures["ratios"].items():
        assert ratio == pytest.approx(figures["loop_seconds"][kind] / figures["ours_seconds"][kind], abs=0.06)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_stages_are_timed_as_commands(capsys: pytest.CaptureFixture[str]) -> None:
    figures = data_scale.bench(images=60, classes=3)
    lines = capsys.readouterr().out.splitlines()
    assert list(figures["seconds"]) == ["prepare", "prepare again", "noise, mislabel", "noise, flip"]
    for line, (name, seconds) in zip(lines[2:], figures["seconds"].items(), strict=True):
        assert line.startswith(name)
        assert seconds > 0
        assert 0.05 < figures["peak_gib"][name] < 2


@pytest.mark.parametrize("command", [["benchmarks/bench.py"], ["-m", "benchmarks.bench"]])
def test_an_unknown_name_is_answered_with_the_known_ones(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "nosie"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice: 'nosie'" in done.stderr
    assert "noise" in done.stderr.splitlines()[-1]


def test_the_labels_have_the_frequencies_of_coco() -> None:
    labels = noise.long_tailed(82_081)
    positives = labels.sum(axis=0)
    assert labels.sum() / len(labels) == pytest.approx(2.937, abs=0.1)
    assert (labels.sum(axis=1) > 0).all()
    assert 250 < positives.max() / positives.min() < 500
    assert np.array_equal(labels, noise.long_tailed(82_081))


def test_the_loops_that_are_timed_make_the_noise_they_stand_for() -> None:
    labels = noise.long_tailed(3000)
    for kind, loop in noise.LOOPS.items():
        given = loop(labels, 0.4, np.random.default_rng(0))
        if kind == "flip":
            assert (given != labels).mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / labels.size))
        elif kind == "single-positive":
            assert (given.sum(axis=1) == 1).all()
            assert (given <= labels).all()
        else:
            assert np.array_equal(given.sum(axis=1), labels.sum(axis=1))
            lost = ((labels == 1) & (given == 0)).sum() / labels.sum()
            assert lost == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / labels.sum()))
