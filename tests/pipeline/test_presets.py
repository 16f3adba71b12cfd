from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from bmix.params import apply_edits, flat, known_keys, parse_params
from bmix.pipeline.presets import expand_presets, preset_names
from bmix.support.errors import InputError
from tests.helpers.tiny import REPOSITORY

FOLDER = REPOSITORY / "params"


def with_edits(*edits: str) -> dict[str, object]:
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    return parse_params(apply_edits(content, expand_presets(list(edits), FOLDER))).flat()


def test_the_presets_are_the_paper_s_set_ups_and_settings_and_more() -> None:
    paper = ["paper-coco", "paper-deepfashion", "paper-voc"]
    assert preset_names(FOLDER) == [
        "affinity",
        "cifar",
        "clean",
        "features",
        "mnist",
        *paper,
        "quick",
        "single-positive",
    ]


@pytest.mark.parametrize("name", preset_names(FOLDER))
def test_a_preset_holds_known_keys_and_gives_valid_params(name: str) -> None:
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    values = flat(content)
    assert {key for key in values if not key.startswith("recipes.")} <= set(known_keys())
    params = with_edits(name)
    assert {key: params[key] for key in values} == values


def test_the_settings_of_the_paper() -> None:
    coco = with_edits("paper-coco")
    assert (coco["training.epochs"], coco["training.warmup_epochs"], coco["training.batch_size"]) == (50, 10, 64)
    assert (coco["model.backbone"], coco["model.head"], coco["data.image_size"]) == ("resnet50", "decoder", 448)
    voc = with_edits("paper-voc")
    assert (voc["training.epochs"], voc["training.warmup_epochs"], voc["training.batch_size"]) == (20, 5, 32)
    fashion = with_edits("paper-deepfashion")
    assert (fashion["training.epochs"], fashion["training.warmup_epochs"], fashion["noise.kind"]) == (40, 5, "none")
    single = with_edits("paper-coco", "single-positive")
    assert (single["method.epsilon"], single["method.trust_positives"]) == (0.55, True)
    assert (single["noise.kind"], single["data.source"]) == ("single-positive", "coco")
    assert with_edits("clean")["method.trust_positives"] is True
    for params in (coco, voc, fashion):
        for recipe in ("ll-r", "ll-ct", "ll-cp"):
            assert params[f"recipes.{recipe}.delta_rel"] == 2 / int(str(params["training.epochs"]))


def test_later_edits_win() -> None:
    assert with_edits("paper-voc", "training.epochs=3", "training.warmup_epochs=1")["training.epochs"] == 3
    assert with_edits("training.epochs=25", "paper-voc")["training.epochs"] == 20


def test_text_that_looks_like_another_type_stays_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text('data: {path: "2007", splits: "train=a test=b: c"}\n', encoding="utf-8")
    content: dict[str, object] = {"data": {}}
    assert apply_edits(content, expand_presets(["mine"], tmp_path)) == {
        "data": {"path": "2007", "splits": "train=a test=b: c"}
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no sections of keys"),
        ("data: 3\n", "no sections of keys"),
        ("data: {pth: x}\n", "unknown key data.pth"),
    ],
)
def test_a_preset_with_anything_else_is_refused(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        expand_presets(["mine"], tmp_path)
    assert (caught.value.where, caught.value.found) == (str(tmp_path / "mine.yaml"), found)


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "params")
    with pytest.raises(InputError, match="neither key=value nor a preset") as caught:
        expand_presets(["paper-cocoa"], tmp_path / "params")
    assert caught.value.remedy.endswith('Did you mean "paper-coco"?')
