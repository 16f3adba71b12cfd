from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bmix.support.files import replaced_folder, write_text


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_others_write_stays(tmp_path: Path, dead: int) -> None:
    kept = [f".a[1].{os.getppid()}.tmp", f".a1.{dead}.tmp", ".a[1].half.tmp"]
    for name in [*kept, f".a[1].{dead}.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / f".folder.{dead}.tmp" / "inner").mkdir(parents=True)
    write_text(tmp_path / "a[1]", "whole")
    with replaced_folder(tmp_path / "folder") as folder:
        (folder / "file").touch()
    assert names(tmp_path) == sorted([*kept, "a[1]", "folder"])
    assert names(tmp_path / "folder") == ["file"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "file", "half \udc80")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"
