"""`python -m bmix.training.torchrun ...`: torchrun, which tells of a failed process in a line, not in a traceback."""

from __future__ import annotations

import logging
import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import parse_args, run

from bmix.console import EXIT_INPUT

KILLED = 128
"""What shells add to the number of the signal that ended a process."""


def main() -> int:
    """Run torchrun's command line: 0, or the exit status of the process that failed first."""
    # What it would say of the processes that it ends, we say below.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        run(parse_args(None))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode != EXIT_INPUT:
            print(f"error: {told(rank, failure)}", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else KILLED - failure.exitcode
    except SignalException as error:
        print(f"ended by {error.sigval.name}, with all its processes", file=sys.stderr)
        return KILLED + error.sigval
    return 0


def told(rank: int, failure: ProcessFailure) -> str:
    """How a process of the job ended; of wrong input it has told itself."""
    ended = f"ended with status {failure.exitcode}"
    if failure.exitcode < 0:
        ended = f"was killed by {signal.Signals(-failure.exitcode).name}"
    return (
        f"process {rank} of the training {ended}, so the others were ended too; a new start goes on from the last epoch"
    )


if __name__ == "__main__":
    sys.exit(main())
