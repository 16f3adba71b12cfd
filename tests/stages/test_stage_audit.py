"""The stage audit on features, on images by a frozen backbone and by two networks, and where there is nothing to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import save_file

from bmix.audit import frozen
from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.data.present import read_present
from bmix.models.backbones import build_classifier
from bmix.params import load_params
from bmix.pipeline.checks import check_inputs
from bmix.support.errors import InputError
from stages import audit, noise, prepare
from tests.helpers.features import CLASSES, arrays, write_npz
from tests.helpers.tiny import read_written, write_params, write_table

FEATURES = ("data.source=features", "data.path=mine/set.npz", "data.root=mine", "model.backbone=identity")
TABLE = ("data.source=table", "data.path=mine/labels.csv", "data.root=mine/images", "data.overlap=warn")
SMALL = ("audit.backbone=small", "audit.weights=mine/small.safetensors", "audit.image_size=32", "training.threads=1")
AUDIT = Path("data/audit")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def audit_of(*edits: str) -> tuple[pd.DataFrame, dict]:
    write_params(Path(), *edits)
    prepare.main()
    noise.main()
    audit.main()
    return pd.read_parquet(AUDIT / "label_quality.parquet"), json.loads((AUDIT / "noise_estimate.json").read_text())


def save_small_weights() -> None:
    save_file(build_classifier("small", "linear", 2, "none", seed=3).state_dict(), "mine/small.safetensors")


def test_every_label_of_every_split_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    write_npz(Path("mine/set.npz"), arrays(rows=400))
    quality, estimate = audit_of(*FEATURES, "noise.rate=0.2")
    manifest = read_manifest(Path("data/prepared"))
    assert list(quality.columns) == ["split", "id", "class", "given", "score", "p_present", "quality"]
    assert len(quality) == len(manifest.frame) * len(CLASSES)
    _, given_NK, _ = read_labels(Path("data/noisy"), manifest)
    train = quality[quality["split"] == "train"]
    assert train["id"].tolist() == np.repeat(manifest.ids("train"), len(CLASSES)).tolist()
    assert (train["given"].to_numpy().reshape(given_NK.shape) == given_NK).all()
    measured = estimate["splits"]["train"]["measured"]["given_positives"]
    assert measured["auc"] > 0.9
    assert estimate["features"] == "source"
    assert estimate["splits"]["train"]["wrong_share"] == pytest.approx(measured["share"], abs=0.08)
    assert estimate["splits"]["val"]["measured"] is None
    told = capsys.readouterr().out
    assert "labels audited by source: about" in told
    # These classes lie so far apart that a linear head learns no wrong label by heart.
    assert not estimate["rehearsal"]["pays"]
    assert "doubting them does not pay: -" in told
    present_NK = read_present(AUDIT, *given_NK.shape)
    assert present_NK is not None
    assert (present_NK == given_NK).all()


def test_the_same_input_gives_the_same_bytes() -> None:
    write_npz(Path("mine/set.npz"))
    audit_of(*FEATURES)
    first = {path.name: path.read_bytes() for path in AUDIT.iterdir()}
    audit.main()
    assert {path.name: path.read_bytes() for path in AUDIT.iterdir()} == first


def test_without_features_and_weights_nothing_is_audited(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(Path("mine"))
    quality, estimate = audit_of(*TABLE)
    assert len(quality) == 0
    assert estimate == {"features": "off", "splits": {}}
    manifest = read_manifest(Path("data/prepared"))
    assert read_present(AUDIT, len(manifest.ids("train")), len(manifest.classes)) is None
    assert "labels are not audited" in capsys.readouterr().out


def test_an_image_is_embedded_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(Path("mine"), images=40)
    save_small_weights()
    quality, estimate = audit_of(*TABLE, *SMALL)
    assert estimate["features"] == "backbone"
    assert quality["quality"].notna().all()
    first = read_written(AUDIT)
    embedded: list[Path] = []
    original = frozen.load_images

    def counted(paths, image_size):
        embedded.extend(paths)
        return original(paths, image_size)

    monkeypatch.setattr(frozen, "load_images", counted)
    audit.main()
    assert not embedded
    assert read_written(AUDIT).keys() == first.keys()
    for path in Path(".bmix/embeddings").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    audit.main()
    assert len(embedded) == len(read_manifest(Path("data/prepared")).frame["digest"].unique())


def test_two_networks_judge_each_other_s_half() -> None:
    write_table(Path("mine"), images=60)
    quality, estimate = audit_of(
        *TABLE, "audit.features=network", "audit.epochs=1", "audit.folds=2", "data.image_size=24", "training.threads=1",
    )  # fmt: skip
    assert estimate["features"] == "network"
    assert np.isfinite(quality["quality"]).all()


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        (("audit.features=backbone",), "an untrained backbone tells nothing apart"),
        (("audit.features=backbone", "audit.weights=mine/none.pth"), "mine/none.pth is not a file"),
        (("audit.weights=imagenet", "audit.backbone=identity"), "identity, which takes no images"),
        (("audit.weights=data/prepared",), "audit.weights: data/prepared is, holds or lies in"),
    ],
)
def test_what_cannot_judge_is_refused_before_anything_runs(edits: tuple[str, ...], told: str) -> None:
    write_table(Path("mine"))
    write_params(Path(), *TABLE, *edits)
    with pytest.raises(InputError, match=told):
        check_inputs(load_params())


def test_features_are_judged_by_themselves_alone() -> None:
    write_npz(Path("mine/set.npz"))
    write_params(Path(), *FEATURES, "audit.features=network")
    with pytest.raises(InputError, match="network, and the data is features"):
        check_inputs(load_params())
