"""From one process to the number that `training.processes` asks for: torchrun, told of in a line where it fails."""

from __future__ import annotations

import logging
import os
import signal
import sys

import torch

from bmix.support.console import EXIT_INPUT
from bmix.support.errors import InputError
from bmix.training.ranks import started_by_torchrun

_KILLED = 128
"""What shells add to the number of the signal that ended a process."""


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
            command = ["-m", __name__, "--standalone", f"--nproc-per-node={processes}", "-m", module]
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


def torchrun() -> int:
    """Run torchrun's command line: 0, or the exit status of the process that failed first; no traceback of its own."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    # What it would say of the processes that it ends is said below.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        run(parse_args(None))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        # Of wrong input the process has told itself.
        if failure.exitcode != EXIT_INPUT:
            print(f"error: process {rank} of the training {_ended(failure.exitcode)}", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else _KILLED - failure.exitcode
    except SignalException as error:
        print(f"ended by {error.sigval.name}, with all its processes", file=sys.stderr)
        return _KILLED + error.sigval
    return 0


def _ended(status: int) -> str:
    how = f"ended with status {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"
    return f"{how}, so the others were ended too; a new start goes on from the last epoch"


if __name__ == "__main__":
    sys.exit(torchrun())
