"""The stage pretrain: label-free, the same bytes again and after a kill, and where warm-up starts from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from bmix.params import load_params
from bmix.pipeline.checks import check_inputs
from bmix.support.errors import InputError
from bmix.training import checkpoint
from stages import audit, noise, prepare, pretrain, warmup
from tests.helpers.features import write_npz
from tests.helpers.tiny import REPOSITORY, read_written, write_params, write_table

TABLE = ("data.source=table", "data.path=mine/labels.csv", "data.root=mine/images", "data.overlap=warn")
FAST = ("data.image_size=16", "training.threads=1", "pretrain.epochs=2", "pretrain.batch_size=16")
TRAINING = ("training.epochs=2", "training.warmup_epochs=1", "training.batch_size=16", "noise.rate=0.2")
MADE, MANIFEST = Path("models/pretrained"), Path("data/prepared/manifest.parquet")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BMIX_WORKERS", "0")
    for name in ("bmix", "stages"):
        Path(name).symlink_to(REPOSITORY / name)


def prepared(*edits: str) -> None:
    write_table(Path("mine"), images=36)
    write_params(Path(), *TABLE, *FAST, *TRAINING, *edits)
    prepare.main()


@pytest.mark.parametrize("method", ["rotation", "simsiam"])
def test_it_learns_and_writes_the_same_bytes_again(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(f"pretrain.method={method}")
    pretrain.main()
    first = read_written(MADE)
    assert first["pretrain.json"] == {
        "method": method,
        "images": len(pd.read_csv("mine/labels.csv").query("split == 'train'")),
    }
    history = pd.read_csv(MADE / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    measured, other = ("accuracy", "spread") if method == "rotation" else ("spread", "accuracy")
    assert np.isfinite(history[["learning_rate", "loss", measured]]).all(axis=None)
    assert history[other].isna().all()
    assert all(name.startswith("backbone.") for name in load_file(MADE / "model.safetensors"))
    told = capsys.readouterr().out
    assert f"epoch 2/2 plain  loss {history['loss'].iloc[1]:.4f}  {measured} {history[measured].iloc[1]:.3f}" in told
    assert "left" in told
    shutil.rmtree(".bmix/checkpoints")
    pretrain.main()
    assert read_written(MADE) == first


def test_a_killed_run_goes_on_to_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared("pretrain.method=rotation", "pretrain.epochs=3")
    pretrain.main()
    whole = read_written(MADE)
    shutil.rmtree(".bmix/checkpoints")
    save = checkpoint.Checkpoints.save

    def save_and_die(self: checkpoint.Checkpoints, trainer: object) -> None:
        save(self, trainer)  # type: ignore[arg-type]
        if trainer.epoch == 2:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        pretrain.main()
    monkeypatch.setattr(checkpoint.Checkpoints, "save", save)
    pretrain.main()
    assert "goes on after epoch 2" in capsys.readouterr().out
    assert read_written(MADE) == whole


@pytest.mark.parametrize("spoil", ["garbage", "gone"])
def test_no_label_is_read(spoil: str) -> None:
    prepared("pretrain.method=rotation", "pretrain.epochs=1")
    pretrain.main()
    first = read_written(MADE)
    frame = pd.read_parquet(MANIFEST)
    Path("data/prepared/classes.json").unlink()
    if spoil == "gone":
        frame = frame.drop(columns=["labels", "ignore"])
    else:
        frame["labels"], frame["ignore"] = 7, "nothing that bmix writes"
    frame.to_parquet(MANIFEST, index=False)
    pretrain.main()
    assert read_written(MADE) == first


def test_nothing_that_it_depends_on_holds_a_noisy_label() -> None:
    stage = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["pretrain"]
    files = [dep for dep in stage["deps"] if not dep.startswith(("bmix", "stages"))]
    assert files == [str(MANIFEST)]
    assert not [key for key in stage["params"] if key.startswith(("noise.", "audit.", "method."))]


def test_the_images_of_split_unlabelled_are_shown_on_request() -> None:
    write_table(Path("mine"), images=36)
    table = pd.read_csv("mine/labels.csv")
    table.loc[table.index[24:], "split"] = "unlabelled"
    table.to_csv("mine/labels.csv", index=False)
    counts = table["split"].value_counts()
    for asked, images in (("false", counts["train"]), ("true", counts["train"] + counts["unlabelled"])):
        edits = ("pretrain.method=rotation", "pretrain.epochs=1", f"pretrain.unlabelled={asked}")
        write_params(Path(), *TABLE, *FAST, *TRAINING, *edits)
        prepare.main()
        pretrain.main()
        assert json.loads((MADE / "pretrain.json").read_text())["images"] == images


def test_off_it_leaves_a_marker_and_imports_no_torch() -> None:
    prepared()
    code = "import sys; from stages import pretrain; pretrain.main(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
    assert read_written(MADE) == {
        "pretrain.json": {"method": "off", "images": 0},
        "history.csv": b"epoch,learning_rate,loss,accuracy,spread\n",
    }


def test_warm_up_starts_from_its_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared("pretrain.method=rotation", "pretrain.epochs=1")
    noise.main()
    audit.main()
    pretrain.main()
    seen: list[dict[str, torch.Tensor]] = []
    started = warmup.run_stage

    def looked_at(stage, params, until, build, finish, **options):  # type: ignore[no-untyped-def]
        def building(ranks):  # type: ignore[no-untyped-def]
            trainer = build(ranks)
            seen.append({name: value.clone() for name, value in trainer.classifier.network.state_dict().items()})
            return trainer

        started(stage, params, until, building, finish, **options)

    monkeypatch.setattr(warmup, "run_stage", looked_at)
    warmup.main()
    trained = load_file(MADE / "model.safetensors")
    assert trained
    assert all(torch.equal(seen[0][name], value) for name, value in trained.items())

    save_file({name: value[:1] for name, value in trained.items() if value.ndim}, MADE / "model.safetensors")
    with pytest.raises(InputError) as caught:
        warmup.main()
    assert caught.value.where == str(MADE / "model.safetensors")
    assert "backbone.features.0.weight (1, 3, 3, 3) instead of (16, 3, 3, 3)" in caught.value.found
    assert caught.value.expected == "the backbone that model.backbone names"
    assert "dvc repro --force --single-item pretrain" in caught.value.remedy


def test_given_weights_are_where_pre_training_starts() -> None:
    prepared("pretrain.method=rotation", "pretrain.epochs=1", "pretrain.learning_rate=1e-12")
    pretrain.main()
    drawn = load_file(MADE / "model.safetensors")
    given = {name: value + 1 if value.is_floating_point() else value for name, value in drawn.items()}
    save_file(given, "mine/given.safetensors")
    prepared(
        "pretrain.method=rotation", "pretrain.epochs=1", "pretrain.learning_rate=1e-12",
        "model.weights=mine/given.safetensors",
    )  # fmt: skip
    pretrain.main()
    name = "backbone.features.0.weight"
    assert torch.allclose(load_file(MADE / "model.safetensors")[name], given[name], atol=1e-6)


def test_features_have_no_backbone_to_train() -> None:
    write_npz(Path("mine/set.npz"))
    edits = ("data.source=features", "data.path=mine/set.npz", "data.root=mine", "model.backbone=identity")
    write_params(Path(), *edits, "pretrain.method=rotation")
    with pytest.raises(InputError, match=r"(?s)pretrain.method: rotation, and the data is features.*set it to off"):
        check_inputs(load_params())


def test_two_views_have_to_differ() -> None:
    write_table(Path("mine"))
    write_params(Path(), *TABLE, "pretrain.method=simsiam", "data.augment=none")
    with pytest.raises(InputError, match=r"(?s)simsiam, and data.augment is none.*set data.augment to photograph"):
        check_inputs(load_params())
