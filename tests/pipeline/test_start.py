from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bmix.ablation.compare import plan_runs
from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier
from bmix.params import Params, load_params
from bmix.pipeline.checks import check_inputs, edited_params
from bmix.pipeline.projects import open_copy, open_project
from bmix.pipeline.start import other_epochs, run_params, with_kept_weights
from bmix.support.errors import InputError
from tests.helpers.projects import make_project
from tests.helpers.tiny import write_params


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_model(folder: str, seed: int = 0) -> None:
    network = build_classifier("small", "linear", 2, "none", seed)
    save_classifier(Classifier(network, ClassifierSpec.of("small", "linear", 40, ["a", "b"])), Path(folder))


def test_a_model_among_the_outputs_is_copied_under_the_name_of_its_weights() -> None:
    save_model("models/final")
    first = with_kept_weights(*edited_params(["model.weights=models/final"]))
    kept = Path(first[1].model.weights)
    assert kept.parent == Path("data/pretrained")
    assert kept.name.startswith("final-")
    assert first[0]["model"]["weights"] == str(kept)
    assert {path.name for path in kept.iterdir()} == {"model.json", "model.safetensors"}
    assert (kept / "model.safetensors").read_bytes() == Path("models/final/model.safetensors").read_bytes()
    assert with_kept_weights(*edited_params(["model.weights=models/final"])) == first
    save_model("models/final", seed=1)
    assert with_kept_weights(*edited_params(["model.weights=models/final"]))[1].model.weights != str(kept)


def test_other_weights_stay_as_they_are() -> None:
    save_model("elsewhere")
    for weights in ("none", "imagenet", "elsewhere", "gone"):
        content, params = edited_params([f"model.weights={weights}"])
        assert with_kept_weights(content, params) == (content, params)
    assert not Path("data/pretrained").exists()


@pytest.mark.parametrize("weights", ["models/final", "mine/final", ".bmix/runs/before/models/final"])
def test_every_run_in_a_copy_finds_the_model_to_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "project"))
    save_model(weights)
    edits = [f"model.weights={weights}"]
    work = plan_runs(["bce", "balancemix"], [0], edits)
    copies = [open_copy(cell.folder, cell.params, cell.content) for cell in work.cells]
    for copy in [*copies, open_project(edits)]:
        start = copy.folder / load_params(copy.folder / "params.yaml").model.weights
        assert (start / "model.safetensors").read_bytes() == Path(weights, "model.safetensors").read_bytes()
        monkeypatch.chdir(copy.folder)
        check_inputs(load_params())
        monkeypatch.chdir(tmp_path / "project")
    assert plan_runs(["bce"], [0], edits).cells[0].folder == work.cells[0].folder
    check_inputs(run_params(edits)[1])


def test_in_params_yaml_itself_it_is_refused_with_the_command_that_does_it() -> None:
    save_model("models/final")
    write_params(Path(), "model.weights=models/final")
    with pytest.raises(InputError) as caught:
        check_inputs(load_params())
    assert caught.value.remedy == (
        "bmix repro --set model.weights=models/final goes on from a copy of it; or make one: mkdir -p data/pretrained "
        "&& cp -r models/final data/pretrained/, and set model.weights to data/pretrained/final"
    )


@pytest.fixture
def locked() -> Callable[..., Params]:
    """params.yaml with edits, beside a dvc.lock of a run of 30 epochs with other edits."""

    def make(before: list[str], now: list[str]) -> Params:
        write_params(Path(), "training.epochs=30", *before)
        ran: dict[str, Any] = {"params": {"params.yaml": load_params().flat()}}
        Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"train": ran}}))
        write_params(Path(), *now)
        return load_params()

    return make


def test_what_more_epochs_mean_is_said(locked: Callable[..., Params]) -> None:
    told = other_epochs(locked([], ["training.epochs=40"]))
    assert told[0] == (
        "training.epochs is 40, and the last run had 30: the schedule cosine spans all epochs, so that training starts "
        "anew"
    )
    assert "--set model.weights=models/final" in told[1]
    assert "training.schedule=constant" in told[2]
    constant = "training.schedule=constant"
    (told,) = other_epochs(locked([constant], ["training.epochs=40", constant]))
    assert "training goes on from there" in told
    (told,) = other_epochs(locked([constant], ["training.epochs=25", constant]))
    assert "starts anew" in told


def test_nothing_is_said_of_other_changes(locked: Callable[..., Params]) -> None:
    assert other_epochs(locked([], [])) == []
    assert other_epochs(locked([], ["training.epochs=40", "training.seed=1"])) == []
    Path("dvc.lock").unlink()
    assert other_epochs(load_params()) == []
