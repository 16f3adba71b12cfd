"""Stage publish: bring the MLflow record up to date from the files on disk; nothing to do costs no import."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from bmix.support import console
from bmix.tracking.destination import Destination, check_reachable, destination, tracking_on
from bmix.tracking.stamp import is_current, write_stamp
from bmix.training.finished import drop_finished
from bmix.workspace.project import project_root


def main() -> None:
    """Send the record unless its stamp is current; a send that fails is a warning, for the results are on disk.

    Being the last stage, it also removes the checkpoints of the runs whose outputs DVC has by now.
    """
    drop_finished(project_root() / ".bmix" / "checkpoints")
    if not tracking_on():
        return
    target = destination()
    if is_current(target):
        print(f"MLflow record up to date at {target.shown}")
        return
    publish(target)


def publish(target: Destination) -> None:
    """Read the record, send it, and leave a stamp if it arrived."""
    from bmix.tracking.record import read_record

    record = read_record()
    try:
        check_reachable(target)
        from bmix.tracking.send import send

        send(record, target)
        write_stamp(target)
    # MLflow passes on the errors of many libraries; none of them may fail a pipeline whose results are whole.
    except Exception as error:
        reason = target.mask(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
        print(
            f"warning: the MLflow record at {target.shown} was not brought up to date: {reason}\n"
            "  the results on disk are whole; fix: start the tracking server, correct MLFLOW_TRACKING_URI\n"
            f"  or make room, then run `{_this_stage()}`; to do without the record: BMIX_TRACKING=off",
            file=sys.stderr,
        )
        return
    print(f"MLflow record of {record.name} written to {target.shown}")


def _this_stage() -> str:
    """The command that publishes this run, as it is typed in the project."""
    here, root = Path.cwd(), project_root()
    folder = here.relative_to(root) if here.is_relative_to(root) else here
    move = "" if here == root else f"cd {shlex.quote(str(folder))} && "
    return f"{move}python -m stages.publish"


if __name__ == "__main__":
    console.run(main, "stages.publish", __doc__)
