"""The stage pseudo: labels of the unlabelled split by the warmed-up model, and what training makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.data.pseudo import read_pseudo
from bmix.data.stores import open_store
from bmix.params import load_params
from bmix.pipeline.checks import check_inputs
from bmix.support.errors import InputError
from bmix.training.passes import PlainViews, confidence
from bmix.training.run import build_trainer
from bmix.training.state import load_run
from stages import audit, evaluate, noise, prepare, pretrain, pseudo, train, warmup
from tests.helpers.features import CLASSES, arrays, write_npz
from tests.helpers.tiny import REPOSITORY, read_written, write_params

EDITS = (
    "data.source=features", "data.path=mine/set.npz", "data.root=mine", "model.backbone=identity", "noise.kind=none",
    "training.epochs=4", "training.warmup_epochs=2", "training.batch_size=32", "training.learning_rate=0.03",
    "training.threads=1", "training.recipe=bce", "audit.features=off",
)  # fmt: skip
USE = ("pseudo.use=true", "pseudo.present=0.8", "pseudo.absent=0.2")
MADE = Path("data/pseudo")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bmix", "stages"):
        Path(name).symlink_to(REPOSITORY / name)
    (tmp_path / "data/noise").mkdir(parents=True)
    (tmp_path / "data/noise/confusions.csv").write_bytes((REPOSITORY / "data/noise/confusions.csv").read_bytes())


def write_data(pool: bool = True, truth: bool = True) -> None:
    """Every fourth training row is unlabelled; the archive says what all rows truly show."""
    content = arrays()
    content["true"] = content["Y"].copy()
    parts = content["split"].astype("U10")
    if pool:
        parts[np.flatnonzero(parts == "train")[::4]] = "unlabelled"
    write_npz(Path("mine/set.npz"), content, split=parts, **({} if truth else {"true": None}))


def up_to_pseudo(*edits: str) -> None:
    write_params(Path(), *EDITS, *edits)
    for stage in (prepare, noise, audit, pretrain, warmup, pseudo):
        stage.main()


def test_labels_are_those_of_the_warmed_up_model_and_the_truth_scores_them(capsys: pytest.CaptureFixture[str]) -> None:
    write_data()
    up_to_pseudo(*USE)
    params, manifest = load_params(), read_manifest(Path("data/prepared"))
    _, given_NK, true_NK = read_labels(Path("data/noisy"), manifest)
    trainer = build_trainer(params, manifest, given_NK, true_NK=true_NK)
    load_run(trainer, Path("models/warmup"))
    images = open_store(manifest, "unlabelled", params.image_root, params.data.image_size)
    confidence_UK = confidence(trainer.engine, images, PlainViews()).numpy()
    labels_UK = read_pseudo(MADE, len(images), len(CLASSES))
    assert labels_UK is not None
    assert (labels_UK == np.where(confidence_UK >= 0.8, 1, np.where(confidence_UK <= 0.2, 0, -1))).all()
    note = json.loads((MADE / "pseudo.json").read_text())
    true_UK = manifest.true_labels("unlabelled")
    assert true_UK is not None
    assert true_UK.any()
    assert not manifest.labels("unlabelled").any()
    assert note["present_precision"] == pytest.approx((true_UK[labels_UK == 1] == 1).mean(), abs=1e-6)
    assert note["present"] + note["absent"] + note["unknown"] == labels_UK.size
    assert f"{note['images']} unlabelled images: {note['present']} labels present" in capsys.readouterr().out

    train.main()
    assert len(pd.read_csv("history.csv")) == 4
    with_pool = read_written(Path("models/final"))
    evaluate.main()
    drawn = pd.read_csv("plots/pseudo_labels.csv")
    assert drawn["present"].tolist() == [row["present"] for row in note["classes"]]
    assert f"{note['images']} unlabelled images" in Path("report.html").read_text()

    write_params(Path(), *EDITS, "pseudo.use=false", "pseudo.present=0.8", "pseudo.absent=0.2")
    pseudo.main()
    train.main()
    assert read_written(Path("models/final"))["model.safetensors"] != with_pool["model.safetensors"]
    evaluate.main()
    assert not Path("plots/pseudo_labels.csv").exists()


def test_without_the_truth_nothing_is_scored() -> None:
    write_data(truth=False)
    up_to_pseudo(*USE)
    note = json.loads((MADE / "pseudo.json").read_text())
    assert note["present"] > 0
    assert note["present_precision"] is None
    first = read_written(MADE)
    pseudo.main()
    assert read_written(MADE) == first


def test_off_it_leaves_a_marker_and_imports_no_torch() -> None:
    write_data()
    write_params(Path(), *EDITS)
    prepare.main()
    code = "import sys; from stages import pseudo; pseudo.main(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
    assert read_pseudo(MADE, 40, len(CLASSES)) is None
    assert json.loads((MADE / "pseudo.json").read_text()) == {"use": False, "images": 0, "classes": []}


def test_a_pool_that_nobody_uses_changes_no_byte_of_training() -> None:
    """The images of split unlabelled are there or not; the labels of the others are the same."""
    trained = []
    for pool in (True, False):
        write_data(pool=True, truth=False)
        if not pool:
            with np.load("mine/set.npz") as archive:
                kept = archive["split"] != "unlabelled"
                content = {name: archive[name] if name == "classes" else archive[name][kept] for name in archive}
            write_npz(Path("mine/set.npz"), content)
        up_to_pseudo()
        train.main()
        trained.append(Path("models/final/model.safetensors").read_bytes())
    assert trained[0] == trained[1]


@pytest.mark.parametrize(
    ("pool", "edits", "told"),
    [
        (False, (), r"(?s)pseudo.use: true, and no image of mine/set.npz is in split unlabelled.*or set it to false"),
        (True, ("training.warmup_epochs=4",), r"(?s)warm-up takes all 4 epochs.*lower training.warmup_epochs"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(pool: bool, edits: tuple[str, ...], told: str) -> None:
    write_data(pool)
    write_params(Path(), *EDITS)
    check_inputs(load_params())
    write_params(Path(), *EDITS, *USE, *edits)
    with pytest.raises(InputError, match=told):
        check_inputs(load_params())


def test_thresholds_are_in_order() -> None:
    write_params(Path(), "pseudo.present=0.5", "pseudo.absent=0.5")
    with pytest.raises(InputError, match=r"absent 0.5 is not below present 0.5"):
        load_params()
