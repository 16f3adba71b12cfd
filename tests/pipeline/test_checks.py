from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bmix.models import weights
from bmix.models.registry import BACKBONES
from bmix.params import Params, load_params
from bmix.pipeline import checks
from bmix.support.errors import InputError
from bmix.workspace.pipeline_file import output_names
from tests.helpers.tiny import REPOSITORY, write_params


def test_params_take_every_backbone_that_there_is(tmp_path: Path) -> None:
    for name in (*BACKBONES, "timm/resnet10t"):
        assert load_params(write_params(tmp_path, f"model.backbone={name}")).model.backbone == name


@pytest.mark.parametrize("backbone", ["tresnet_l", "efficientnet_lite0", "timm/resnet10t"])
def test_a_backbone_of_timm_is_refused_where_timm_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    edits = [f"model.backbone={backbone}", "data.source=voc", "data.path=data/mine", "data.root=data/mine"]
    with pytest.raises(InputError) as caught:
        checks.check_inputs(load_params(write_params(tmp_path, *edits)))
    assert caught.value.where == "params.yaml, model.backbone"
    assert caught.value.found == f"{backbone} comes from timm, which is not installed"
    assert caught.value.remedy.startswith('install it: pip install "bmix[timm]"')


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "noise"):
        shutil.copytree(REPOSITORY / "data" / name, tmp_path / "data" / name)
    return lambda *edits: load_params(write_params(tmp_path, *edits))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_a_model_that_timm_does_not_have_is_refused(digits: Callable[..., Params]) -> None:
    checks.check_inputs(digits("model.backbone=timm/resnet10t"))
    with pytest.raises(InputError, match=r"(?s)'timm/resnet10x', which timm .* does not know.*Did you mean"):
        checks.check_inputs(digits("model.backbone=timm/resnet10x"))


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors"])
def test_a_file_that_holds_no_weights_is_refused(digits: Callable[..., Params], name: str) -> None:
    Path(name).write_text("no weights at all")
    with pytest.raises(
        InputError, match=f"^{name}: not readable as weights: neither safetensors nor a file of tensors"
    ):
        checks.check_inputs(digits(f"model.weights={name}"))


@pytest.mark.slow
def test_weights_are_read_again_only_when_the_file_changed(
    digits: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(weights, "read_weights", read.append)
    file = Path("mine.pth")
    file.write_bytes(b"first")
    for _ in range(2):
        checks.check_inputs(digits("model.weights=mine.pth"))
    assert read == [file]
    file.write_bytes(b"second, of another size")
    checks.check_inputs(digits("model.weights=mine.pth"))
    assert read == [file, file]


def test_every_output_of_the_pipeline_is_known() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    outputs = {name for stage in stages for name in stage.get("outs", [])}
    assert outputs == set(output_names(REPOSITORY / "dvc.yaml"))


def test_an_output_that_cannot_be_written_or_would_be_removed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("notes").touch()
    for sound in ("x.csv", "mine/x.csv", "new/folder/x.csv", "data/x.csv", str(tmp_path.parent / "x.csv")):
        checks.check_output(Path(sound))
    for path, found in [
        ("mine", "mine is a folder"),
        ("notes/x.csv", "is not a folder that may be written to"),
        ("data/prepared/x.csv", "lies in data/prepared, which the pipeline writes and removes"),
        ("mine/../plots/x.csv", "lies in plots"),
        ("history.csv", "history.csv is history.csv, which the pipeline writes"),
        ("mine/../params.yaml", "is a file of the project"),
    ]:
        with pytest.raises(InputError, match=f"--output: .*{found}"):
            checks.check_output(Path(path))
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path / "mine")
    with pytest.raises(InputError, match=r"/mine is not a folder that may be written to"):
        checks.check_output(Path("mine/x.csv"))


@pytest.mark.parametrize("tracked", ["data/mine", "data/mine/labels.csv"])
def test_input_that_dvc_tracks_and_that_is_not_here_is_to_be_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: str
) -> None:
    monkeypatch.chdir(tmp_path)
    params = load_params(
        write_params(tmp_path, "data.source=table", "data.path=data/mine/labels.csv", "data.root=data/mine")
    )
    pointer = tmp_path / f"{tracked}.dvc"
    pointer.parent.mkdir(parents=True)
    pointer.touch()
    with pytest.raises(InputError) as caught:
        checks.check_inputs(params)
    assert caught.value.where == "params.yaml, data.path"
    assert caught.value.found == f"data/mine/labels.csv is not here, but {tracked}.dvc tracks it"
    assert caught.value.remedy.endswith(f"dvc pull {tracked}.dvc")


@pytest.mark.parametrize(
    ("edit", "remedy"),
    [
        (
            "model.weights=models/final/model.safetensors",
            "mkdir -p data/pretrained && cp models/final/model.safetensors data/pretrained/, "
            "and set model.weights to data/pretrained/model.safetensors",
        ),
        (
            "noise.matrix=plots/classes.csv",
            "mkdir -p data/mine && cp plots/classes.csv data/mine/, and set noise.matrix",
        ),
        ("data.path=data/noisy", "move the data to a folder of its own"),
        ("data.root=plots/a b", "move the data to a folder of its own"),
        ("model.weights=data/linked.safetensors", "cp data/linked.safetensors data/pretrained/"),
        ("model.weights=elsewhere/final/model.safetensors", "cp elsewhere/final/model.safetensors data/pretrained/"),
        ("model.weights=.bmix/runs/x/w.pth", "cp .bmix/runs/x/w.pth data/pretrained/"),
    ],
)
def test_an_input_among_the_outputs_is_refused_with_the_commands_that_bring_it_out(
    digits: Callable[..., Params], edit: str, remedy: str
) -> None:
    for file in ("models/final/model.safetensors", "plots/classes.csv", ".bmix/runs/x/w.pth"):
        Path(file).parent.mkdir(parents=True)
        Path(file).touch()
    Path("data/linked.safetensors").symlink_to("../models/final/model.safetensors")
    Path("elsewhere").symlink_to("models")
    with pytest.raises(InputError) as caught:
        checks.check_inputs(digits(edit))
    key, _, value = edit.partition("=")
    assert caught.value.where == f"params.yaml, {key}"
    assert caught.value.found.startswith(f"{value} is, holds or lies in ")
    assert remedy in caught.value.remedy


def test_outputs_that_lie_on_another_disk_are_outputs_all_the_same(
    digits: Callable[..., Params], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    (disk / "final").mkdir(parents=True)
    (disk / "final/model.safetensors").touch()
    Path("models").symlink_to(disk)
    for place in ("models/final/model.safetensors", str(disk / "final/model.safetensors")):
        with pytest.raises(InputError, match="is, holds or lies in models/final"):
            checks.check_inputs(digits(f"model.weights={place}"))
