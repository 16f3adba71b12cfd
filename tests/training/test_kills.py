"""Twenty kills, at any time and in the middle of writing a checkpoint, change no byte of the trained outputs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.projects import copy_project, edit_params, run
from tests.pipeline.test_equal_results import TRAINED, contents, remove

pytestmark = pytest.mark.pipeline

KILLS = 20

# Forked children of one process, which has imported everything, are the real stage and start at once.
KILLED = """
import importlib, os, random, shutil, signal, sys, time
from pathlib import Path
import torch
from bmix.training import state

stage, kills, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
main = importlib.import_module(f"stages.{stage}").main
chance = random.Random(f"{stage} kills")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def die_while_writing(file_number):
    save, written = state._save_tensors, []
    def save_or_die(tensors, path):
        written.append(path)
        if len(written) == file_number:
            path.with_name("half").write_bytes(b"half")
            die()
        save(tensors, path)
    state._save_tensors = save_or_die

def start(writing):
    child = os.fork()
    if child == 0:
        try:
            if writing:
                die_while_writing(writing)
            main()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    return child

killed = 0
while killed < kills:
    writing = chance.randrange(1, 7) if killed % 3 == 0 else 0
    child = start(writing)
    if not writing:
        time.sleep(chance.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed += 1
    elif status:
        sys.exit(f"a start failed with {status}")
    else:
        # It was done before it could be killed: once more from the beginning.
        shutil.rmtree(".bmix/checkpoints")
_, status = os.waitpid(start(0), 0)
sys.exit(bool(status))
"""


@pytest.mark.exhaustive
def test_twenty_kills_change_no_byte(finished_project: Path, tmp_path: Path) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    edit_params(project, "training.epochs=10", "training.warmup_epochs=5", "method.audit=epoch")
    outputs = {"warmup": ["models/warmup"], "train": TRAINED}
    expected = {}
    for stage, names in outputs.items():
        ended = run(project, "-m", f"stages.{stage}")
        assert ended.returncode == 0, ended.stdout
        expected[stage] = contents(project, names)
    shutil.rmtree(project / ".bmix/checkpoints")

    # The second stage's views come from loader processes, which outlive their parent for a moment.
    for stage, names in outputs.items():
        remove(project, names)
        ended = run(project, "-c", KILLED, stage, str(KILLS // 2), "1.5", BMIX_WORKERS="1" if stage == "train" else "0")
        assert ended.returncode == 0, ended.stdout
        assert "goes on after epoch" in ended.stdout
        assert contents(project, names) == expected[stage]
        left = [path.name for path in (project / ".bmix/checkpoints").glob(f"{stage}-*/epoch-*")]
        assert left == [f"epoch-{5 if stage == 'warmup' else 10:05d}"]
        assert not list((project / ".bmix/checkpoints").glob(f"{stage}-*/.*.tmp"))
