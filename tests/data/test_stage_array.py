"""Arrays that stages leave: labels of the audit and pseudo-labels are read, or refused by name."""

from pathlib import Path

import numpy as np
import pytest

from bmix.data.present import read_present
from bmix.data.pseudo import read_pseudo, write_pseudo
from bmix.support.errors import InputError

READERS = {"audit": (read_present, "p_present.npy", np.float32), "pseudo": (read_pseudo, "pseudo_labels.npy", np.int8)}


@pytest.mark.parametrize("stage", READERS)
def test_an_array_comes_back_as_it_was_written(tmp_path: Path, stage: str) -> None:
    read, name, dtype = READERS[stage]
    written_NK = np.array([[0, 1, 1], [1, 0, 0]], dtype)
    np.save(tmp_path / name, written_NK)
    read_NK = read(tmp_path, 2, 3)
    assert read_NK is not None
    assert read_NK.dtype == dtype
    assert (read_NK == written_NK).all()


@pytest.mark.parametrize("stage", READERS)
def test_an_array_without_a_row_means_that_the_stage_is_off(tmp_path: Path, stage: str) -> None:
    read, name, dtype = READERS[stage]
    np.save(tmp_path / name, np.zeros((0, 3), dtype))
    assert read(tmp_path, 2, 3) is None


@pytest.mark.parametrize("stage", READERS)
@pytest.mark.parametrize(
    ("damage", "found"),
    [("missing", "no such file"), ("cut", "not readable"), ("shape", r"\(3, 3\)"), ("type", "float64")],
)
def test_a_damaged_array_is_refused(tmp_path: Path, stage: str, damage: str, found: str) -> None:
    read, name, dtype = READERS[stage]
    path = tmp_path / name
    np.save(path, np.zeros((3 if damage == "shape" else 2, 3), np.float64 if damage == "type" else dtype))
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match=rf"(?s){name}: .*{found}.*run that stage: dvc repro {stage}"):
        read(tmp_path, 2, 3)


def test_a_pseudo_label_beyond_the_three_is_refused(tmp_path: Path) -> None:
    write_pseudo(tmp_path, np.full((2, 3), 5), {})
    with pytest.raises(InputError, match=r"(?s)a label 5.*1, 0, and -1 for unknown"):
        read_pseudo(tmp_path, 2, 3)
