"""Mosaics show the pictures whose labels they carry, and features get the labels of each table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import mosaics
from bmix.support.errors import InputError

NAMES = ["cat", "dog", "ship"]


def write_pictures(folder: Path, split: str, class_N: np.ndarray) -> None:
    """A picture of each row in a grey of its own, each class numbered by itself."""
    seen = dict.fromkeys(NAMES, 0)
    for row, k in enumerate(class_N):
        path = folder / split / NAMES[k] / f"{seen[NAMES[k]]:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (10 * row,) * 3).save(path, quality=95)
        seen[NAMES[k]] += 1


def made(folder: Path, train: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    people = {name: rng.integers(3, size=24) for name in ("true", *mosaics.SETS.values())}
    write_pictures(folder, "train", people["true"])
    write_pictures(folder, "test", np.array([0, 0, 1, 1, 2, 2, 2, 2]))
    np.savez(folder / "labels.npz", allow_pickle=False, class_names=np.array(NAMES), **people)
    mosaics.make(folder, folder / "labels.npz", folder / "made", {"train": train, "test": 2}, seed=0)
    return people


def test_labels_are_those_of_the_pictures_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = made(tmp_path, 6)
    printed = capsys.readouterr().out
    for name, array in mosaics.SETS.items():
        frame = pd.read_csv(tmp_path / "made" / f"{name}.csv")
        assert frame["split"].tolist() == 6 * ["train"] + 2 * ["test"]
        rows: list[int] = []
        wrong = given = 0
        for path, labels, true in zip(frame["path"][:6], frame["labels"], frame["true"], strict=False):
            pixels = np.asarray(Image.open(tmp_path / "made" / "images" / path))
            shown = [round(pixels[y, x, 0] / 10) for y in (16, 48) for x in (16, 48)]
            rows += shown
            assert labels == ";".join(sorted({NAMES[k] for k in people[array][shown]}))
            assert true == ";".join(sorted({NAMES[k] for k in people["true"][shown]}))
            given += len(labels.split(";"))
            wrong += len(set(labels.split(";")) - set(true.split(";")))
        assert sorted(rows) == list(range(24))
        assert f"{name} {given} given labels, {100 * wrong / given:.1f} % of them wrong" in printed
        assert frame["labels"][6:].tolist() == frame["true"][6:].tolist()


def test_features_get_the_labels_of_each_table(tmp_path: Path) -> None:
    made(tmp_path, 3)
    ids = [f"train/{row:05d}.png" for row in (2, 0, 1)]
    X, classes = np.arange(6, dtype=np.float16).reshape(3, 1, 2), np.array(["dog", "cat", "ship"])
    path = tmp_path / "all.npz"
    np.savez(path, X=X, Y=np.zeros((3, 3)), ids=np.array(ids), classes=classes, split=np.array(["train"] * 3))
    mosaics.label(path, tmp_path / "made")
    for name in mosaics.SETS:
        frame = pd.read_csv(tmp_path / "made" / f"{name}.csv", dtype=str).set_index("path")
        with np.load(tmp_path / f"all-{name}.npz") as archive:
            assert archive["X"].tobytes() == X.tobytes()
            assert archive["ids"].tolist() == ids
            for column, array in (("labels", "Y"), ("true", "true")):
                by_id = frame[column].to_dict()
                slow = [[int(k in by_id[row].split(";")) for k in classes] for row in ids]
                assert archive[array].tolist() == slow


def test_more_mosaics_than_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"7 mosaics of 24 pictures\n.*at most 6"):
        made(tmp_path, 7)
