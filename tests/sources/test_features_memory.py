"""Archives that unpack to more than their size tells are read by parts, or refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bmix.sources.features import npz
from bmix.sources.features.npz import Archive
from bmix.sources.features.read import read_features
from bmix.support.errors import InputError
from tests.helpers.features import arrays, write_npz


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_features(path, {}, 0, None)
    return caught.value


def test_labels_are_read_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = arrays(rows=50)
    path = write_npz(tmp_path / "set.npz", content, Y=content["Y"].astype(np.int64))
    whole = read_features(path, {}, 0, None)
    read = Archive.read

    def all_but_labels(archive: Archive, name: str) -> np.ndarray:
        assert name != "Y"
        return read(archive, name)

    monkeypatch.setattr(Archive, "read", all_but_labels)
    # Three rows of three labels at a time.
    monkeypatch.setattr(npz, "CHUNK_BYTES", 3 * 3 * 8)
    assert read_features(path, {}, 0, None).frame["labels"].tolist() == whole.frame["labels"].tolist()
    content["Y"][40, 1] = 2
    assert refusal(write_npz(path, content)).where == f"{path}, row 41"


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = arrays(rows=50)
    path = write_npz(tmp_path / "set.npz", content, X=np.asfortranarray(content["X"]))
    read_features(path, {}, 0, None)
    monkeypatch.setattr(npz, "_free_memory", lambda: content["X"].nbytes - 1)
    assert refusal(path).remedy.endswith("numpy.ascontiguousarray")
    monkeypatch.setattr(npz, "_free_memory", lambda: content["Y"].size - 1)
    assert refusal(path).where == f"{path}, Y"
    monkeypatch.setattr(npz, "_free_memory", lambda: content["Y"].size)
    assert refusal(path).where == f"{path}, ids"


@pytest.mark.parametrize(
    ("changes", "array"),
    [
        ({"Y": np.zeros((4, 100_001), np.int8)}, "Y"),
        ({"ids": np.array(["a" * 5000, "b", "c", "d"])}, "ids"),
        ({"classes": np.array(["a" * 5000, "b", "c"])}, "classes"),
        ({"classes": np.zeros((3, 100_000), np.int8)}, "classes"),
        ({"split": None, "n_train": np.ones(100_000, int)}, "n_train"),
        ({"split": np.zeros(4, int), "split_names": np.array("train")}, "split_names"),
        ({"split": np.zeros(4, int), "split_names": np.zeros((4, 4))}, "split_names"),
    ],
)
def test_arrays_of_another_shape_are_refused_unread(
    tmp_path: Path, changes: dict[str, np.ndarray], array: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_npz(tmp_path / "set.npz", arrays(rows=4), **changes)
    read = Archive.read
    monkeypatch.setattr(Archive, "read", lambda archive, name: read(archive, name) if name != array else 1 / 0)
    assert refusal(path).where == f"{path}, {array}"


def test_a_row_beyond_any_instance_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MOST_ROW_BYTES", 100)
    assert refusal(write_npz(tmp_path / "set.npz", arrays(rows=4))).where.endswith(", X")
