from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bmix.support.errors import InputError
from bmix.support.files import replaced_folder
from bmix.training.checkpoint import Checkpoints, claimed
from bmix.training.finished import drop_finished
from bmix.training.identity import RunIdentity, differences
from bmix.training.state import load_run, save_run
from tests.helpers.runs import build_run, train, write_images


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    return write_images(tmp_path_factory.mktemp("images"), 40)


def identity(**parts: object) -> RunIdentity:
    return RunIdentity({"training.seed": 0, "training.learning_rate": 0.003, "code bmix/x.py": "0123456789", **parts})


# Holds the run's lock until it is killed; a child of it, like a loader process, lives on for two seconds.
HOLDER = """
import os, sys, time
from pathlib import Path
from bmix.training.checkpoint import claimed

with claimed(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(2)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_is_claimed_by_one_process_at_a_time_and_free_when_it_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=rf"process {holder.pid} is training this very run"), claimed(run):
        pass
    holder.kill()
    holder.wait()
    with claimed(run):
        assert run.with_suffix(".lock").read_text() == str(os.getpid())


def test_a_broken_state_is_refused_with_the_command_that_mends_it(
    tiny: tuple[list[Path], np.ndarray], tmp_path: Path
) -> None:
    trainer = train(build_run(*tiny), 1)
    save_run(trainer, tmp_path)
    (tmp_path / "state.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="dvc repro --force --single-item warmup"):
        load_run(build_run(*tiny), tmp_path)


def test_the_run_key_follows_settings_inputs_and_code(tmp_path: Path) -> None:
    data, code = tmp_path / "labels", tmp_path / "code"
    data.write_text("a")
    code.mkdir()
    (code / "x.py").write_text("pass")

    def key(seed: int) -> str:
        return RunIdentity.of({"training.seed": seed}, [data], [code]).key

    first = key(0)
    assert first == key(0)
    assert first != key(1)
    (code / "x.py").write_text("other")
    changed = key(0)
    assert changed != first
    data.write_text("b")
    assert key(0) != changed


def test_differences_are_a_line_each() -> None:
    before = {"training.learning_rate": 0.003, "training.seed": 0, "input a": "aaaaaaaaaa", "code b.py": "b"}
    now = {"training.learning_rate": 0.001, "training.seed": 0, "input a": "cccccccccc", "code c.py": "c"}
    assert differences(before, now) == [
        "training.learning_rate  0.003 -> 0.001",
        "input a                 aaaaaaaa -> cccccccc",
        "code b.py               b -> absent",
        "code c.py               absent -> c",
    ]
    assert differences(now, now) == []


def test_half_written_checkpoints_are_never_seen(tiny: tuple[list[Path], np.ndarray], tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "train", identity())

    def interrupted() -> None:
        with replaced_folder(checkpoints.folder / "epoch-00001") as temporary:
            (temporary / "state.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(checkpoints.folder.iterdir())
    # What a kill leaves stays until the run goes on.
    (checkpoints.folder / ".epoch-00001.123.tmp").mkdir()
    assert not checkpoints.resume(build_run(*tiny))
    checkpoints.save(train(build_run(*tiny), 1))
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["epoch-00001", "run.json"]


def test_another_runs_checkpoint_is_not_resumed_but_told_about(
    tiny: tuple[list[Path], np.ndarray], tmp_path: Path
) -> None:
    first = Checkpoints(tmp_path, "train", identity())
    assert first.other_run() == []
    first.save(train(build_run(*tiny), 1))
    assert first.other_run() == []
    other = Checkpoints(tmp_path, "train", identity(**{"training.learning_rate": 0.001}))
    assert not other.resume(build_run(*tiny))
    assert other.other_run() == [
        f"not resumed: {first.folder} stands at epoch 1 of a run that differs in",
        "  training.learning_rate  0.003 -> 0.001",
        "training starts afresh; that run goes on when these are as before",
    ]
    assert Checkpoints(tmp_path, "warmup", identity(seed=1)).other_run() == []
    # A run that another process works on has not been left.
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(first.folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    assert other.other_run() == []
    holder.kill()
    holder.wait()
    assert len(other.other_run()) == 3
    (first.folder / "run.json").write_text("{")
    assert other.other_run() == []
    first.finish()
    assert other.other_run() == []


def test_only_runs_finished_in_this_folder_are_dropped(
    tiny: tuple[list[Path], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, going, elsewhere = (Checkpoints(tmp_path, "train", identity(number=number)) for number in range(3))
    trainer = train(build_run(*tiny), 1)
    for checkpoints in (done, going, elsewhere):
        checkpoints.save(trainer)
    done.finish()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        elsewhere.finish()
    drop_finished(tmp_path)
    assert not done.folder.exists()
    assert going.resume(build_run(*tiny))
    assert elsewhere.resume(build_run(*tiny))
    drop_finished(tmp_path / "absent")


def test_a_checkpoint_that_another_copy_drops_meanwhile_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "train-0/finished"
    mark.parent.mkdir()
    mark.touch()
    read_text = Path.read_text

    def gone_before(path: Path, encoding: str) -> str:
        path.unlink()
        return read_text(path, encoding)

    monkeypatch.setattr(Path, "read_text", gone_before)
    drop_finished(tmp_path)
    assert not mark.exists()


def test_a_full_disk_leaves_the_last_checkpoint_whole(tiny: tuple[list[Path], np.ndarray], tmp_path: Path) -> None:
    trainer = train(build_run(*tiny), 1)
    checkpoints = Checkpoints(tmp_path, "train", identity())
    checkpoints.save(trainer)
    train(trainer, 2)
    largest = max(path.stat().st_size for path in checkpoints.folder.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses to write on beyond the limit, as it does on a full disk; the signal is another way to say so.
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, limits[1]))
    try:
        with pytest.raises(InputError) as refused:
            checkpoints.save(trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert refused.value.found == "the checkpoint of epoch 2 cannot be written: File too large"
    assert refused.value.remedy.endswith("training goes on from the last whole checkpoint (epoch 1)")
    assert [path.name for path in checkpoints.folder.glob(".*")] == []
    resumed = build_run(*tiny)
    assert checkpoints.resume(resumed)
    assert resumed.epoch == 1
