"""Two processes on the CPU (gloo), as torchrun starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bmix.support.errors import InputError
from bmix.training.launch import launch
from bmix.training.passes import PlainViews, confidence
from tests.helpers.projects import ENVIRONMENT, copy_project, edit_params, run
from tests.helpers.runs import build_run, train, write_images
from tests.helpers.tiny import write_params
from tests.pipeline.test_equal_results import ACTIVE, TRAINED, contents, remove

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

LEARN = """
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bmix.method.settings import MethodSettings
from bmix.training.passes import PlainViews, confidence
from bmix.training.ranks import process_group
from tests.helpers.runs import build_run

folder = Path(sys.argv[1])
torch.set_num_threads(1)
paths = sorted(folder.glob("*.png"))
with process_group() as ranks:
    for audit in ("step", "epoch"):
        trainer = build_run(paths, np.load(folder / "given.npy"), settings=MethodSettings(audit=audit), ranks=ranks)
        trainer.classifier.load_state_dict(load_file(folder / "weights.safetensors"))
        trainer.epoch = 2
        trainer._learn(manage=True)
        ledger = trainer.close()
        found = {name: value.contiguous() for name, value in trainer.recipe.state().items()}
        found |= {"verdict": ledger.verdict_NK, "weight": ledger.weight_NK, "labels": ledger.labels_NK}
        found["validation"] = confidence(trainer.engine, trainer.validation[0], PlainViews())
        save_file(found, folder / f"{audit}-{ranks.rank}-of-{ranks.count}.safetensors")
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    # More than one block of the passes, and a last block that is not full.
    paths, labels_NK = write_images(folder, 301)
    given_NK = labels_NK ^ (np.random.default_rng(1).random(labels_NK.shape) < 0.2)
    np.save(folder / "given.npy", given_NK)
    weights = train(build_run(paths, given_NK, batch_size=64), 2).classifier.state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "weights.safetensors")
    return folder


def test_two_processes_learn_what_one_does(tiny: Path) -> None:
    (tiny / "learn.py").write_text(LEARN, encoding="utf-8")
    repository = str(Path(__file__).parents[2])
    for command in ([], TORCHRUN):
        ended = run(tiny, *command, str(tiny / "learn.py"), str(tiny), PYTHONPATH=repository)
        assert ended.returncode == 0, ended.stdout
    for audit in ("step", "epoch"):
        alone = load_file(tiny / f"{audit}-0-of-1.safetensors")
        assert alone["verdict"].any()
        assert alone["p_clean"].shape == (301, 3)
        for rank in range(2):
            shared = load_file(tiny / f"{audit}-{rank}-of-2.safetensors")
            assert shared.keys() == alone.keys()
            for name, value in alone.items():
                assert torch.equal(shared[name], value), f"{audit}: {name} of rank {rank}"


def test_a_pass_alone_sees_every_instance(tiny: Path) -> None:
    trainer = build_run(sorted(tiny.glob("*.png")), np.load(tiny / "given.npy"))
    seen = confidence(trainer.engine, trainer.images, PlainViews())
    for row in (0, 255, 256, 300):
        alone = trainer.classifier.predict(trainer.images.read(torch.tensor([row])))[0]
        assert torch.allclose(seen[row], alone, atol=1e-5)
    rows = torch.tensor([299, 3])
    assert torch.allclose(confidence(trainer.engine, trainer.images, PlainViews(), rows), seen[rows], atol=1e-5)


def test_another_number_of_processes_than_the_params_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    launch("stages.train", 4, 1)
    with pytest.raises(InputError, match=r"training\.processes: is 2, and torchrun started 4"):
        launch("stages.train", 2, 1)


def test_more_processes_than_gpus_are_refused_before_any_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"training\.processes: is 2, and there are 1 GPUs"):
        launch("stages.train", 2, 1)
    launch("stages.train", 1, 1)


def test_what_all_processes_refuse_is_told_once_and_without_a_traceback(tmp_path: Path) -> None:
    project = write_params(tmp_path, "training.processes=2").parent
    ended = run(project, "-m", "stages.warmup", PYTHONPATH=str(Path(__file__).parents[2]))
    assert ended.returncode == 2
    assert ended.stdout.count("error:") == 1
    assert ended.stdout.startswith("error: data/prepared/manifest.parquet: no such file\n")
    assert "Traceback" not in ended.stdout


def worker_of(agent: subprocess.Popen[str], rank: int) -> int:
    """The process number of a rank that torchrun started."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children")
    for child in children.read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise LookupError(f"no rank {rank}")


def has_ended(process: int) -> bool:
    """Whether a process is gone, or was killed and is still to be waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.pipeline
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_killed_rank_or_torchrun_ends_the_job_and_the_next_start_goes_on_to_the_same_bytes(
    finished_project: Path, tmp_path: Path
) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    edit_params(project, "training.processes=2", "training.epochs=16", "training.warmup_epochs=1")
    for stage in ("warmup", "train"):
        ended = run(project, "-m", f"stages.{stage}")
        assert ended.returncode == 0, ended.stdout
    uninterrupted = contents(project, TRAINED)
    remove(project, [*TRAINED, ".bmix/checkpoints"])

    for killed, epoch in (("rank 1", 3), ("torchrun", 6)):
        job = start_train(project, tmp_path / "log", until=epoch)
        ranks = [worker_of(job, rank) for rank in range(2)]
        os.kill(ranks[1] if killed == "rank 1" else job.pid, signal.SIGKILL)
        assert job.wait(timeout=120) != 0
        deadline = time.monotonic() + 60
        while not all(map(has_ended, ranks)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(map(has_ended, ranks)), f"{killed} was killed, and a rank lives on"
        assert not [name for name in TRAINED if (project / name).exists()]
        if killed == "rank 1":
            log = (tmp_path / "log").read_text(encoding="utf-8")
            assert "error: process 1 of the training was killed by SIGKILL, so the others were ended too" in log
            assert "Traceback" not in log

    ended = run(project, "-m", "dvc", "repro", "--single-item", "--force", "--no-run-cache", "train", PATH=ACTIVE)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("goes on after epoch") == 1
    assert contents(project, TRAINED) == uninterrupted


def start_train(project: Path, log: Path, until: int) -> subprocess.Popen[str]:
    """The stage train, started and watched until it has kept an epoch from `until` on."""
    environment = {**os.environ, **ENVIRONMENT}
    with log.open("w", encoding="utf-8") as file:
        job = subprocess.Popen(
            [sys.executable, "-m", "stages.train"], cwd=project, env=environment, stdout=file, stderr=file, text=True
        )
    deadline = time.monotonic() + 120
    while job.poll() is None and time.monotonic() < deadline:
        kept = [int(path.name[-5:]) for path in (project / ".bmix/checkpoints").glob("train-*/epoch-*")]
        if max(kept, default=0) >= until:
            break
        time.sleep(0.01)
    return job
