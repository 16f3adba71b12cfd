"""From one process to the number that `training.processes` asks for: torchrun, with a plain message if it fails.

One machine needs nothing but the number. On several, torchrun's own variables say how they meet (docs/training.md).
"""

from __future__ import annotations

import logging
import os
import signal
import sys

import torch

from bmix.support import console
from bmix.support.console import EXIT_INPUT
from bmix.support.errors import InputError
from bmix.training.ranks import AGENT, started_by_torchrun

_KILLED = 128
"""What shells add to the number of the signal that ended a process."""
_ENDED = 1

SEVERAL_MACHINES = "PET_NNODES"
"""torchrun's variable for the number of machines; where it is set, torchrun's variables say how the processes start."""


def launch(module: str, processes: int, threads: int) -> None:
    """Become torchrun, running `python -m module`, if there are to be several processes and torchrun started none yet.

    processes: in all, over all machines. threads: of each on the CPU.

    Does not return in that case: this process turns into torchrun, so that who ends it ends them all. Raises InputError
    if torchrun started another number than `processes`, on which the result depends, or if this machine has GPUs, but
    fewer than processes.
    """
    if not started_by_torchrun():
        if SEVERAL_MACHINES in os.environ:
            _become_torchrun([], module, threads)
        elif processes > 1:
            _refuse_more_than_gpus(processes, processes)
            _become_torchrun(["--standalone", f"--nproc-per-node={processes}"], module, threads)
        return
    here, started = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    _refuse_more_than_gpus(here, processes)
    if started != processes:
        machines = "" if here == started else ", on all machines together"
        raise InputError(
            "training.processes",
            f"is {processes}, and torchrun started {started}{machines}",
            "one number: the last bits of a result depend on it",
            f"training.processes: {started}, or let torchrun start {processes}{machines}",
        )


def _become_torchrun(options: list[str], module: str, threads: int) -> None:
    sys.stdout.flush()
    # Where it is not set, torchrun sets it to 1 and says so at length.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # Of a process that dies the others would print the C++ frames in which they noticed.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.execv(sys.executable, [sys.executable, "-m", __name__, *options, "-m", module])


def _refuse_more_than_gpus(here: int, processes: int) -> None:
    """Of the `processes` in all `here` are on this machine."""
    gpus = torch.cuda.device_count()
    if 0 < gpus < here:
        own = "" if here == processes else f", {here} of them on this machine"
        raise InputError(
            "training.processes",
            f"is {processes}{own}, and there are {gpus} GPUs",
            "at most one process per GPU",
            "lower training.processes, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU",
        )


def torchrun() -> int:
    """Run torchrun's command line, --help too: 0, or the exit status of the process that failed first, no traceback."""
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import parse_args, run

    # What it would say of the processes that it ends is said below.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ[AGENT] = str(os.getpid())
    try:
        run(parse_args(None))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        # The process itself has reported wrong input.
        if failure.exitcode != EXIT_INPUT:
            print(f"error: process {rank} of the training {_ended(failure.exitcode)}", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else _KILLED - failure.exitcode
    except (RendezvousError, DistError) as error:
        print(f"error: the machines of the training {_apart(error)}", file=sys.stderr)
        return _ENDED
    except SignalException as error:
        print(f"ended by {error.sigval.name}, with all its processes", file=sys.stderr)
        return _KILLED + error.sigval
    return 0


def _ended(status: int) -> str:
    how = f"ended with status {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"
    return f"{how}, so the others were ended too; a new start goes on from the last epoch"


def _apart(error: Exception) -> str:
    from torch.distributed import DistStoreError
    from torch.distributed.elastic.rendezvous.api import RendezvousTimeoutError

    if isinstance(error, RendezvousTimeoutError | DistStoreError):
        return "did not all come in time; start the stage on each of them, with one address to meet at"
    reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
    return f"do not reach each other ({reason}); when they do, a new start goes on from the last epoch"


if __name__ == "__main__":
    console.run(torchrun)
