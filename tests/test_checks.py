from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bmix.errors import InputError
from bmix.models.backbones import BACKBONES
from bmix.params import load_params
from bmix.pipeline import checks
from tests.tiny import write_params


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
    assert caught.value.remedy == f"dvc pull {tracked}.dvc"
