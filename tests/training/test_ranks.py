"""Two processes on the CPU (gloo), as torchrun starts them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bmix.support.errors import InputError
from bmix.training import ranks
from bmix.training.agreement import refuse_disagreement
from bmix.training.launch import launch
from bmix.training.passes import PlainViews, confidence
from bmix.training.ranks import Ranks
from tests.helpers.projects import ENVIRONMENT, copy_project, edit_params, run
from tests.helpers.runs import build_run, train, write_images
from tests.helpers.tiny import write_params
from tests.pipeline.test_equal_results import ACTIVE, TRAINED, contents, remove

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

LEARN = """
import sys
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.exhaustive
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


def pretend_torchrun(monkeypatch: pytest.MonkeyPatch, here: int, in_all: int) -> None:
    started = {"RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": str(here), "WORLD_SIZE": str(in_all)}
    for name, value in {**started, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)


def test_another_number_of_processes_than_the_params_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_torchrun(monkeypatch, here=4, in_all=4)
    launch("stages.train", 4, 1)
    with pytest.raises(InputError, match=r"training\.processes: is 2, and torchrun started 4\n"):
        launch("stages.train", 2, 1)
    pretend_torchrun(monkeypatch, here=2, in_all=4)
    launch("stages.train", 4, 1)
    with pytest.raises(InputError, match=r"is 2, and torchrun started 4, on all machines together\n"):
        launch("stages.train", 2, 1)


def test_more_processes_than_gpus_are_refused_before_any_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"training\.processes: is 2, and there are 1 GPUs"):
        launch("stages.train", 2, 1)
    launch("stages.train", 1, 1)
    pretend_torchrun(monkeypatch, here=1, in_all=4)
    launch("stages.train", 4, 1)
    pretend_torchrun(monkeypatch, here=2, in_all=4)
    with pytest.raises(InputError, match=r"is 4, 2 of them on this machine, and there are 1 GPUs"):
        launch("stages.train", 4, 1)


@pytest.mark.parametrize(
    ("machines", "options"), [(None, ["--standalone", "--nproc-per-node=2"]), ("2", [])], ids=["one", "several"]
)
def test_a_stage_becomes_torchrun(
    machines: str | None, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, command: became.append([program, *command]))
    for name in ("PET_NNODES", "OMP_NUM_THREADS", "TORCH_CPP_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    if machines:
        monkeypatch.setenv("PET_NNODES", machines)
    with capsys.disabled():
        launch("stages.train", 2, 3)
    command = [sys.executable, "-m", "bmix.training.launch", *options, "-m", "stages.train"]
    assert became == [[sys.executable, *command]]
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_process_that_started_after_its_torchrun_had_died_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks.ctypes, "CDLL", lambda name: SimpleNamespace(prctl=lambda *arguments: 0))
    monkeypatch.delenv(ranks.AGENT, raising=False)
    ranks._end_with_parent()
    monkeypatch.setenv(ranks.AGENT, str(os.getppid()))
    ranks._end_with_parent()
    monkeypatch.setenv(ranks.AGENT, str(os.getpid()))
    with pytest.raises(SystemExit, match="torchrun has ended"):
        ranks._end_with_parent()


def test_processes_that_differ_are_told_in_what(monkeypatch: pytest.MonkeyPatch) -> None:
    def others(self: Ranks, own: str) -> list[str]:
        content = json.loads(own)
        return [own, json.dumps({"host": "second", "parts": {**content["parts"], "training.seed": 1}})]

    monkeypatch.setattr(Ranks, "texts", others)
    refuse_disagreement(Ranks(), {"training.seed": 0})
    refuse_disagreement(Ranks(0, 2), {"training.seed": 1})
    message = (
        f"process 1 of the training, on second: differs from process 0, on {socket.gethostname()}, in\n"
        "    training.seed  0 -> 1\n"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        refuse_disagreement(Ranks(0, 2), {"training.seed": 0})


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


HANG_GUARD = 1200
"""Seconds; below the half hour after which a process gives the others up."""


@pytest.fixture(scope="module")
def two_processes(finished_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that two processes on one machine have trained; to be copied, not changed."""
    project = copy_project(finished_project, tmp_path_factory.mktemp("two processes") / "project")
    edit_params(project, "training.processes=2", "training.epochs=16", "training.warmup_epochs=1")
    for stage in ("warmup", "train"):
        ended = run(project, "-m", f"stages.{stage}")
        assert ended.returncode == 0, ended.stdout
    return project


in_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")


@pytest.mark.pipeline
@pytest.mark.xdist_group("two processes")
@pytest.mark.parametrize(
    "kills",
    [[("rank 1", 3)], pytest.param([("torchrun", 3), ("rank 1", 6)], marks=pytest.mark.exhaustive)],
    ids=["rank", "torchrun, rank"],
)
@in_proc
def test_a_killed_rank_or_torchrun_ends_the_job_and_the_next_start_goes_on_to_the_same_bytes(
    kills: list[tuple[str, int]], two_processes: Path, tmp_path: Path
) -> None:
    project = copy_project(two_processes, tmp_path / "project")
    remove(project, TRAINED)
    for killed, epoch in kills:
        log = tmp_path / "log"
        job = start(project, log, "-m", "stages.train")
        wait_for_epoch(project, epoch, job)
        workers = [worker_of(job, rank) for rank in range(2)]
        os.kill(workers[1] if killed == "rank 1" else job.pid, signal.SIGKILL)
        assert job.wait(HANG_GUARD) != 0
        assert_ended(workers)
        assert not [name for name in TRAINED if (project / name).exists()]
        if killed == "rank 1":
            told = log.read_text(encoding="utf-8")
            assert "error: process 1 of the training was killed by SIGKILL, so the others were ended too" in told
            assert "Traceback" not in told

    ended = run(project, "-m", "dvc", "repro", "--single-item", "--force", "--no-run-cache", "train", PATH=ACTIVE)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("goes on after epoch") == 1
    assert contents(project, TRAINED) == contents(two_processes, TRAINED)


@pytest.mark.pipeline
@pytest.mark.exhaustive
@pytest.mark.xdist_group("two processes")
@in_proc
def test_two_machines_train_as_one_and_go_on_after_one_was_lost(two_processes: Path, tmp_path: Path) -> None:
    """Two agents of torchrun on loopback, each as on a machine of its own, in a folder that they share."""
    project = copy_project(two_processes, tmp_path / "project")
    remove(project, TRAINED)
    agents = start_agents(project, tmp_path)
    wait_for_epoch(project, 3, *agents)
    workers = dict(rank_of(agent) for agent in agents)
    (lock,) = (project / ".bmix/checkpoints").glob("train-*.lock")
    assert lock.read_text() == str(workers[0])
    agents[1].kill()
    assert agents[0].wait(HANG_GUARD) > 0, logs(tmp_path)
    assert_ended(list(workers.values()))
    assert not [name for name in TRAINED if (project / name).exists()]
    assert "Traceback" not in logs(tmp_path)

    for agent in start_agents(project, tmp_path):
        assert agent.wait(HANG_GUARD) == 0, logs(tmp_path)
    assert logs(tmp_path).count("goes on after epoch") == 1
    assert contents(project, TRAINED) == contents(two_processes, TRAINED)


def start_agents(project: Path, log_folder: Path) -> list[subprocess.Popen[str]]:
    """The stage train twice, each time as one of two machines with a process each, by torchrun's own variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    machines = {"PET_NNODES": "2", "PET_RDZV_BACKEND": "c10d", "PET_RDZV_ENDPOINT": address}
    return [start(project, log_folder / f"machine-{n}.log", "-m", "stages.train", **machines) for n in range(2)]


def logs(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("machine-*.log")))


def start(project: Path, log: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    """`python COMMAND` in the project, which goes on by itself."""
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=project,
            env={**os.environ, **ENVIRONMENT, **environment},
            stdout=file,
            stderr=file,
            text=True,
        )


def wait_for_epoch(project: Path, epoch: int, *jobs: subprocess.Popen[str]) -> None:
    """Until the stage train has kept an epoch from `epoch` on."""
    deadline = time.monotonic() + HANG_GUARD
    kept = [0]
    while max(kept, default=0) < epoch and time.monotonic() < deadline and all(job.poll() is None for job in jobs):
        time.sleep(0.01)
        kept = [int(path.name[-5:]) for path in (project / ".bmix/checkpoints").glob("train-*/epoch-*")]
    assert max(kept, default=0) >= epoch, "no such epoch was kept"


def rank_of(agent: subprocess.Popen[str]) -> tuple[int, int]:
    """The rank that an agent of one process started, and the number of that process."""
    for rank in range(2):
        with suppress(LookupError):
            return rank, worker_of(agent, rank)
    raise LookupError("no rank")


def assert_ended(processes: list[int]) -> None:
    deadline = time.monotonic() + HANG_GUARD
    while not all(map(has_ended, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(has_ended, processes)), "a process lives on"
