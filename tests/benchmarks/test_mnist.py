"""The tables of rare digits keep what they say, of images that are those of the archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import mnist
from bmix.support.errors import InputError


def write_archive(folder: Path) -> dict[str, np.ndarray]:
    """folder/mnist.npz of 200 training and 60 test images of noise; its arrays."""
    rng = np.random.default_rng(0)
    arrays = {
        f"{what}_{part}": values
        for part, count in (("train", 200), ("test", 60))
        for what, values in (
            ("x", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)),
            ("y", rng.permutation(np.arange(count) % 10).astype(np.uint8)),
        )
    }
    np.savez(folder / "mnist.npz", allow_pickle=False, **arrays)
    return arrays


def made(folder: Path, train: int = 100) -> dict[str, np.ndarray]:
    arrays = write_archive(folder)
    counts = {"train": train, "val": 30, "test": 20}
    mnist.make(folder / "mnist.npz", folder / "made", counts, {"share-100": 1.0, "share-20": 0.2, "each-1": 1}, seed=0)
    return arrays


def test_only_training_images_of_the_digits_0_to_4_become_fewer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = made(tmp_path)
    printed = capsys.readouterr().out
    assert "share-20: 60 training images, [2, 2, 2, 2, 2, 10, 10, 10, 10, 10]" in printed
    tables = {name: pd.read_csv(tmp_path / f"made/{name}.csv") for name in ("share-100", "share-20", "each-1")}
    for name, of_rare in (("share-100", 10), ("share-20", 2), ("each-1", 1)):
        counts = pd.crosstab(tables[name]["split"], tables[name]["labels"])
        assert counts.loc["train"].tolist() == [of_rare] * 5 + [10] * 5
        assert counts.loc["val"].tolist() == [3] * 10
        assert counts.loc["test"].tolist() == [2] * 10
    assert set(tables["each-1"]["path"]) < set(tables["share-20"]["path"]) < set(tables["share-100"]["path"])
    whole = tables["share-100"]
    assert not whole["path"].duplicated().any()
    for row in whole.iloc[::17].to_dict("records"):
        origin = "test" if row["split"] == "test" else "train"
        number = int(Path(row["path"]).stem)
        assert row["labels"] == f"digit {arrays[f'y_{origin}'][number]}"
        np.testing.assert_array_equal(Image.open(tmp_path / "made/images" / row["path"]), arrays[f"x_{origin}"][number])


def test_more_images_than_there_are_and_shares_above_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--train and --val: 230 images of 200"):
        made(tmp_path, train=200)
    with pytest.raises(InputError, match="a share above 0, up to 1"):
        mnist.make(tmp_path / "mnist.npz", tmp_path / "made", {}, {"share-150": 1.5}, seed=0)
