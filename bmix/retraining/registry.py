"""Telling MLflow what is owed to it: records of runs, versions of the registered model, and which one is served."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bmix.pipeline.projects import HOME, RUNS
from bmix.retraining.inputs import OWN
from bmix.retraining.owed import Owed, all_owed, is_for, lock_digest
from bmix.retraining.versions import all_versions, champion, find_version, previous
from bmix.retraining.way_back import restore
from bmix.support.errors import InputError, listed
from bmix.support.locks import held
from bmix.tracking.destination import Destination, destination, tracking_on

GIVEN_UP = timedelta(days=30)
"""After which what could not be sent is no longer tried."""
_LOCK, _PATIENCE = OWN / "owed.lock", 60.0


def tell_mlflow(tell: Callable[[str], None], since: str = "") -> int:
    """Send what is owed to the destination of today; how many notes are left. What fails is told, and raises nothing.

    The destination is not touched if nothing is owed to it. since: what is older, an earlier night's, is told of when
    it has arrived.
    """
    if not tracking_on():
        return 0
    target, due = destination(), list[Owed]()
    # MLflow passes on the errors of many libraries; none of them may undo a promotion.
    try:
        due = [note for note in all_owed() if is_for(note, target)]
        if due:
            with held(_LOCK, lambda process: TimeoutError(f"process {process} has been at it for a minute"), _PATIENCE):
                _Sending(target, tell).send(due, since)
    except InputError as error:
        tell(f"warning: {error}")
    except Exception as error:
        tell(_warning(target, due, error))
    return sum(note.path.exists() for note in due)


class _Sending:
    """A way to one destination. OSError if it cannot be used."""

    def __init__(self, target: Destination, tell: Callable[[str], None]) -> None:
        from bmix.tracking.champion import Registry

        self._target, self._tell = target, tell
        self._registry = Registry(target)

    def send(self, due: Sequence[Owed], since: str) -> None:
        """Send what is due, the oldest first, and cross out what has arrived or what nothing can be made of."""
        arrived = [note for note in due if self._has_arrived(note)]
        if any(note.version is not None for note in arrived):
            self._point()
        for note in arrived:
            note.path.unlink(missing_ok=True)
        if late := [note.told for note in arrived if not since or note.night < since]:
            self._tell(f"MLflow was told what it had missed: {listed(late)}")

    def _has_arrived(self, note: Owed) -> bool:
        from bmix.tracking.reach import check_reachable

        try:
            if note.version is None:
                self._registry.tag_run(self._record_of(note), note.tags)
            else:
                self._keep(note, note.version)
            return True
        except InputError as error:
            self._tell(f"warning: MLflow will not know of {note.told}: {error}")
            note.path.unlink(missing_ok=True)
        except Exception as error:
            self._tell(_warning(self._target, [note], error))
            if datetime.now(UTC) - datetime.fromisoformat(note.night) > GIVEN_UP:
                self._tell(f"  it is given up after {GIVEN_UP.days} days")
                note.path.unlink(missing_ok=True)
            # Of a server that went away meanwhile nothing more is asked.
            check_reachable(self._target)
        return False

    def _keep(self, note: Owed, number: int) -> None:
        model = find_version(str(number)).folder
        if not self._registry.holds(model):
            self._record_of(note)
        if not self._registry.keep(model, note.tags):
            raise InputError(str(model), "is not the model that its run left", "the same model", "see what changed it")

    def _point(self) -> None:
        for alias, version in (("champion", champion()), ("previous", previous())):
            if version is not None and not self._registry.keep(version.folder, {}, alias):
                self._tell(f"warning: the record holds no model of {version.name}, so that no alias {alias} is set")

    def _record_of(self, note: Owed) -> str:
        """The parent run of the record of a note's run, which is sent if need be: from its folder, or a restored one.

        InputError if the folder was taken by another candidate, and no version leads back to the run.
        """
        from bmix.tracking.late import send_late

        folder = Path(note.run)
        if lock_digest(folder) == note.lock:
            return send_late(folder, HOME, self._target)
        version = next((each for each in all_versions() if lock_digest(each.folder) == note.lock), None)
        if version is None:
            raise InputError(
                note.run,
                "holds the run of another candidate by now",
                "the outputs of that night",
                "there is nothing to mend: history/retraining.csv keeps its line",
            )
        copy = RUNS / f"version-{version.number:04d}"
        if lock_digest(copy) == note.lock:
            return send_late(copy, HOME, self._target)
        had_copy = copy.exists()
        try:
            return send_late(restore(version), HOME, self._target)
        finally:
            if not had_copy:
                shutil.rmtree(copy, ignore_errors=True)


def _warning(target: Destination, due: Sequence[Owed], error: Exception) -> str:
    from bmix.tracking.faults import reason, remedy

    return (
        f"warning: MLflow at {target.shown} does not know of {listed(note.told for note in due)}: "
        f"{reason(error, target)}\n"
        f"  fix: {remedy(error, target)}; the next night sends it, as does bmix models sync"
    )
