"""What an interrupted DVC leaves is repaired, and nothing is touched while one runs."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmix.pipeline.dvc_state import RWLOCK, dvc_at_work, repair, repair_rwlock
from bmix.pipeline.repro import PipelineError, reproduce
from tests.helpers.projects import copy_project, run

PLACE = "data/prepared"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


def note(project: Path, content: object) -> Path:
    path = project / RWLOCK
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@contextmanager
def looks_like_dvc(folder: Path) -> Iterator[int]:
    """A process whose command line is `python -m dvc`, at work in a folder."""
    (folder / "dvc.py").write_text("import sys\nprint('at work', flush=True)\nsys.stdin.read()\n")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", "dvc"], cwd=folder, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        (folder / "dvc.py").unlink()
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"write": 3}', '{"read": {"x": [{"pid": "?"}]}}', "[" * 100_000])
def test_an_unreadable_note_is_removed_and_told(project: Path, content: str) -> None:
    path = note(project, content)
    (line,) = repair(project)
    assert line.startswith(".dvc/tmp/rwlock was left unreadable by a DVC that was interrupted")
    assert not path.exists()
    assert repair(project) == []


def test_a_sound_note_stays(project: Path) -> None:
    with looks_like_dvc(project) as process:
        for content in ({}, {"write": {}, "read": {}}, {"write": {PLACE: {"pid": process, "cmd": "dvc repro"}}}):
            path = note(project, content)
            assert repair(project) == []
            assert json.loads(path.read_text()) == content


def test_nothing_is_touched_while_a_dvc_runs_in_this_project(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = note(project, "")
    with looks_like_dvc(project) as process:
        assert dvc_at_work(project) == [process]
        assert repair(project) == []
    # A copy of the project is one of its own.
    copy = project / ".bmix/runs/copy"
    (copy / ".dvc").mkdir(parents=True)
    with looks_like_dvc(copy), looks_like_dvc(tmp_path_factory.mktemp("elsewhere")):
        assert dvc_at_work(project) == []
        assert len(repair(project)) == 1
    assert not path.exists()


@pytest.mark.parametrize("lock", ["lock", "rwlock.lock"])
def test_nothing_is_touched_while_dvcs_own_locks_are_held(project: Path, lock: str) -> None:
    path = note(project, "")
    with (project / ".dvc/tmp" / lock).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert repair_rwlock(project) == []
    assert path.exists()


def test_a_number_that_another_process_has_now_holds_nothing(project: Path) -> None:
    own, dvc = {"pid": os.getpid(), "cmd": "dvc repro"}, {"pid": 0, "cmd": "dvc repro"}
    with looks_like_dvc(project.parent) as process:
        dvc["pid"] = process
        path = note(project, {"write": {PLACE: own}, "read": {"a": [own, dvc], "b": [own]}})
        (line,) = repair(project)
        assert f"no longer DVC ({os.getpid()})" in line
        assert json.loads(path.read_text()) == {"write": {}, "read": {"a": [dvc]}}
        # Written before that process started: it cannot be the one.
        os.utime(path, (1, 1))
        assert f"no longer DVC ({process})" in repair(project)[0]
    assert json.loads(path.read_text()) == {"write": {}, "read": {}}


def test_a_lock_file_that_dvc_refuses_is_set_aside_but_not_an_unsettled_merge(project: Path) -> None:
    said = ["'./dvc.lock' validation failed.", "required key not provided, in schema"]
    (project / "dvc.lock").write_text("schema:")
    assert repair(project, ["ERROR: failed to reproduce 'noise'"]) == []
    (line,) = repair(project, said)
    assert "it is set aside as .bmix/dvc.lock.damaged" in line
    assert (project / ".bmix/dvc.lock.damaged").read_text() == "schema:"
    assert not (project / "dvc.lock").exists()
    (project / "dvc.lock").write_text("<<<<<<< HEAD\n")
    assert repair(project, said) == []


def test_a_damaged_note_beside_a_dvc_at_work_is_told_with_its_process(project: Path) -> None:
    note(project, "")
    code = "raise SystemExit(\"ERROR: failed to reproduce 'noise': Unable to read RWLock-file '.dvc/tmp/rwlock'.\")"
    with looks_like_dvc(project) as process:
        (project / "dvc.py").write_text(code)
        with pytest.raises(PipelineError, match=f"a DVC is at work there: process {process}\n") as caught:
            reproduce(project, tell=lambda line: None)
    assert caught.value.retry


@pytest.mark.pipeline
def test_the_next_run_goes_on_after_every_kind_of_damage(finished_project: Path, tmp_path: Path) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    locked = (project / "dvc.lock").read_bytes()
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    note(project, "")
    (project / "dvc.lock").write_bytes(locked[:200])
    ended = run(project, "-m", "bmix", "repro")
    assert ended.returncode == 0, ended.stdout
    assert "rwlock was left unreadable" in ended.stdout
    assert "dvc.lock was left half-written" in ended.stdout
    assert "Stage 'train' is cached - skipping run" in ended.stdout
    assert (project / "dvc.lock").read_bytes() == locked
