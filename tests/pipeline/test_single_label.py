"""Single-label data: what the check refuses, and a run of all stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix import load_model
from bmix.params import Params, load_params
from bmix.pipeline import checks
from bmix.support.errors import InputError
from bmix.support.files import read_json
from stages import audit, evaluate, noise, prepare, pretrain, pseudo, train, warmup
from tests.helpers.features import arrays, write_npz
from tests.helpers.tiny import REPOSITORY, write_params

EDITS = (
    "data.source=features",
    "data.path=mine/set.npz",
    "data.root=mine",
    "model.task=single-label",
    "model.backbone=identity",
    "training.recipe=mixup",
    "training.epochs=6",
    "training.warmup_epochs=2",
    "training.batch_size=32",
    "training.learning_rate=0.01",
    "noise.rate=0.2",
    "evaluate.many=60",
    "evaluate.medium=30",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    """A folder with features of exactly one class each; params with further edits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/noise").mkdir(parents=True)
    (tmp_path / "data/noise/confusions.csv").write_bytes((REPOSITORY / "data/noise/confusions.csv").read_bytes())
    content = one_class(arrays(rows=400, views=1))
    write_npz(tmp_path / "mine/set.npz", content)
    return lambda *edits: load_params(write_params(tmp_path, *EDITS, *edits))


def one_class(content: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of a set of features that have exactly one class."""
    kept = content["Y"].sum(axis=1) == 1
    return {name: values if name == "classes" else values[kept] for name, values in content.items()}


def test_a_run_measures_the_likeliest_class_and_serves_it(
    project: Callable[..., Params], capsys: pytest.CaptureFixture[str]
) -> None:
    checks.check_inputs(project())
    for stage in (prepare, noise, audit, pretrain, warmup, pseudo, train, evaluate):
        stage.main()
    shares = read_json(Path("metrics.json"))["top1"]
    assert shares["error"] < 0.2
    assert shares["accuracy"] == pytest.approx(1 - shares["error"])
    assert f"test: top-1 error {100 * shares['error']:.2f} %" in capsys.readouterr().out
    assert "Every image has exactly one class" in Path("report.html").read_text()
    assert "exactly one class" in Path("models/final/README.md").read_text()

    content = np.load("mine/set.npz")
    held_out = content["split"] == "test"
    model = load_model("models/final")
    probabilities = model.predict(torch.from_numpy(content["X"][held_out, 0])).numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert model.present(probabilities).sum(axis=1).tolist() == [1] * len(probabilities)
    wrong = probabilities.argmax(axis=1) != content["Y"][held_out].argmax(axis=1)
    assert wrong.mean() == pytest.approx(shares["error"], abs=1e-6)


@pytest.mark.parametrize("kind", ["flip", "missing", "single-positive"])
def test_noise_that_breaks_one_class_an_image_is_refused(project: Callable[..., Params], kind: str) -> None:
    with pytest.raises(InputError) as caught:
        checks.check_inputs(project(f"noise.kind={kind}"))
    assert caught.value.where == "params.yaml, noise.kind"
    assert caught.value.expected == "one of none, mislabel, class-dependent"
    assert "mislabel" in caught.value.remedy


def test_a_recipe_that_works_label_by_label_is_refused(project: Callable[..., Params]) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match="balancemix treats every label by itself"):
            checks.check_inputs(project("training.recipe=balancemix"))
        checks.check_inputs(project("training.recipe=balancemix", "model.task=multi-label"))


def test_data_with_two_classes_an_image_are_refused_by_the_check_and_by_the_stage(
    project: Callable[..., Params],
) -> None:
    write_npz(Path("mine/set.npz"), arrays(rows=400, views=1))
    checks.check_inputs(project("model.task=multi-label"))
    with pytest.raises(InputError, match=r'image row-\d+: has 2 labels, "round", "warm"') as caught:
        checks.check_inputs(project())
    assert "model.task to multi-label" in caught.value.remedy
    for stage in (prepare, noise, audit, pretrain):
        stage.main()
    with pytest.raises(InputError, match="exactly one class an image"):
        warmup.main()
    assert not Path("models/warmup").exists()


def test_one_positive_stays_one_whatever_the_share_of_mislabelled_images(project: Callable[..., Params]) -> None:
    project("noise.rate=0.9")
    for stage in (prepare, noise):
        stage.main()
    labels = pd.read_parquet("data/noisy/labels.parquet")
    assert labels["given"].map(len).tolist() == [1] * len(labels)
    changed = [given[0] != true[0] for given, true in zip(labels["given"], labels["true"], strict=True)]
    assert 0.8 < sum(changed) / len(changed) < 1
