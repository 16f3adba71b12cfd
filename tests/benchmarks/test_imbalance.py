"""Rows of the comparison of imbalance methods, with half of the labels withheld, and what a run learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import imbalance
from benchmarks.imbalance import ROWS, halve
from benchmarks.trained import pretrained_once, trained
from bmix.data.manifest import read_manifest
from bmix.params import load_params
from bmix.support.errors import InputError
from bmix.support.files import read_json
from stages import prepare
from tests.helpers.features import write_npz
from tests.helpers.tiny import write_params

EDITS = (
    "data.source=features", "data.root=mine", "model.backbone=identity", "training.epochs=3",
    "training.warmup_epochs=2", "training.batch_size=16", "training.threads=1", "pseudo.present=0.6",
    "pseudo.absent=0.4", "audit.features=off",
)  # fmt: skip


def test_half_of_the_training_images_lose_their_labels_and_keep_the_truth(tmp_path: Path) -> None:
    write_npz(tmp_path / "all.npz")
    halve(tmp_path / "all.npz", tmp_path / "half.npz")
    with np.load(tmp_path / "all.npz") as before, np.load(tmp_path / "half.npz") as after:
        moved_N = after["split"] == "unlabelled"
        assert moved_N.sum() == (before["split"] == "train").sum() // 2
        assert (before["split"][moved_N] == "train").all()
        assert (before["split"][~moved_N] == after["split"][~moved_N]).all()
        assert not after["Y"][moved_N].any()
        assert (after["Y"][~moved_N] == before["Y"][~moved_N]).all()
        assert (after["true"] == np.maximum(before["Y"], 0)).all()
        assert (after["X"] == before["X"]).all()


def test_rows_are_compared_to_rows_of_the_same_labels() -> None:
    for row in ROWS.values():
        assert not row.base or ROWS[row.base].half == row.half


@pytest.mark.slow
def test_a_table_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path / "mine/all.npz")
    write_params(tmp_path, "data.path=mine/all.npz", *EDITS)
    monkeypatch.chdir(tmp_path)
    rows = ["half, bce", "half, bce, pseudo-labels"]
    options = ["--half", "mine/all.npz", "--seeds", "0", "--noises", "mislabel 0.4", "--rows", *rows]
    # Which splits are read is said, as it is for data whose test images are not at hand.
    options += ["--set", "data.splits=train=train test=val"]
    monkeypatch.setattr("sys.argv", ["imbalance", "results", *options])
    imbalance.main()
    results = [read_json(path) for path in sorted(Path("results").glob("mislabel-0.4/*/0/metrics.json"))]
    assert len(results) == 2
    assert results[0]["mAP"] != results[1]["mAP"]
    shown = capsys.readouterr().out
    step = 100 * (results[1]["mAP"]["all"] - results[0]["mAP"]["all"])
    assert f"{step:+.1f}" in shown
    written = {path: path.stat().st_mtime_ns for path in Path("results").rglob("metrics.json")}
    imbalance.main()
    assert {path: path.stat().st_mtime_ns for path in Path("results").rglob("metrics.json")} == written


def test_a_run_with_a_pool_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "mine/all.npz")
    write_params(tmp_path, "data.path=mine/all.npz", "pseudo.use=true", *EDITS)
    monkeypatch.chdir(tmp_path)
    prepare.main()
    manifest = read_manifest(Path("data/prepared"))
    with pytest.raises(InputError, match="unlabelled"):
        trained(load_params(), manifest, manifest.labels("train"))


@pytest.mark.slow
def test_pseudo_labels_are_those_of_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is cut where the stages cut it, and ends with the same weights."""
    write_npz(tmp_path / "mine/all.npz")
    halve(tmp_path / "mine/all.npz", tmp_path / "mine/half.npz")
    write_params(tmp_path, "data.path=mine/half.npz", "pseudo.use=true", *EDITS)
    monkeypatch.chdir(tmp_path)
    prepare.main()
    params, manifest = load_params(), read_manifest(Path("data/prepared"))
    assert pretrained_once(params, manifest, tmp_path / "pretrained") is None
    trainer, pseudo_UK = trained(params, manifest, manifest.labels("train"))
    assert pseudo_UK is not None
    assert len(pseudo_UK) == (np.load("mine/half.npz")["split"] == "unlabelled").sum()
    assert set(np.unique(pseudo_UK)) <= {-1, 0, 1}
    assert trainer.epoch == 3
