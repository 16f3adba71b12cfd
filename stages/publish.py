"""Stage publish: bring the MLflow record up to date from the files on disk; nothing to do costs no import."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from bmix.support import console
from bmix.tracking.destination import Destination, destination, tracking_on
from bmix.tracking.stamp import is_current, write_stamp
from bmix.training.finished import drop_finished
from bmix.workspace.project import project_root


def main() -> None:
    """Send the record unless it is there and current; a send that fails is a warning, for the results are on disk.

    Being the last stage, it also removes the checkpoints of the runs whose outputs DVC has by now.
    """
    drop_finished(project_root() / ".bmix" / "checkpoints")
    if not tracking_on():
        return
    target = destination()
    try:
        current = is_current(target)
    except OSError as error:
        _warn(target, error)
        return
    if current:
        print(f"MLflow record up to date at {target.shown}")
        return
    publish(target)


def publish(target: Destination) -> None:
    """Read the record, send it, and leave a stamp if it arrived."""
    from bmix.tracking.reach import check_reachable
    from bmix.tracking.record import read_record

    record = read_record()
    try:
        check_reachable(target)
        from bmix.tracking.send import send

        write_stamp(target, send(record, target))
    # MLflow passes on the errors of many libraries; none of them may fail a pipeline whose results are whole.
    except Exception as error:
        _warn(target, error)
        return
    print(f"MLflow record of {record.name} written to {target.shown}")


def _warn(target: Destination, error: Exception) -> None:
    from bmix.tracking.faults import reason, remedy

    print(
        f"warning: MLflow record at {target.shown} not up to date: {reason(error, target)}\n"
        f"  the results on disk are whole; fix: {remedy(error, target)}\n"
        f"  then run `{_this_stage()}`; to do without the record: BMIX_TRACKING=off",
        file=sys.stderr,
    )


def _this_stage() -> str:
    """The command that publishes this run, as it is typed in the project."""
    here, root = Path.cwd(), project_root()
    folder = here.relative_to(root) if here.is_relative_to(root) else here
    move = "" if here == root else f"cd {shlex.quote(str(folder))} && "
    return f"{move}python -m stages.publish"


if __name__ == "__main__":
    console.run(main, "stages.publish", __doc__)
