"""From one process to the number that `training.processes` asks for."""

from __future__ import annotations

import os
import sys

import torch

from bmix.errors import InputError
from bmix.training.ranks import started_by_torchrun


def launch(module: str, processes: int, threads: int) -> None:
    """Become torchrun with `processes` processes of `python -m module`, where there are to be several and are not yet.

    threads: of each on the CPU.

    Does not return in that case: this process turns into torchrun, so that who ends it ends them all. InputError where
    torchrun started another number than `processes`, which a result depends on, or where there are fewer GPUs.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise InputError(
            "training.processes",
            f"is {processes}, and there are {gpus} GPUs",
            "at most one process per GPU",
            "lower training.processes, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU",
        )
    if not started_by_torchrun():
        if processes > 1:
            command = ["-m", "bmix.training.torchrun", "--standalone", f"--nproc-per-node={processes}", "-m", module]
            sys.stdout.flush()
            # Where it is not set, torchrun sets it to 1 and says so at length.
            os.environ.setdefault("OMP_NUM_THREADS", str(threads))
            os.execv(sys.executable, [sys.executable, *command])
        return
    started = int(os.environ["WORLD_SIZE"])
    if started != processes:
        raise InputError(
            "training.processes",
            f"is {processes}, and torchrun started {started}",
            "one number: the last bits of a result depend on it",
            f"training.processes: {started}, or torchrun --nproc-per-node {processes}",
        )
