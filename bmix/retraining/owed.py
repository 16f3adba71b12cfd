"""What MLflow has still to be told: noted on the disk before it is sent, and crossed out when it has arrived."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from bmix.retraining.history import NightRecord, stamp_of
from bmix.retraining.inputs import OWN
from bmix.retraining.versions import Version
from bmix.support.errors import InputError
from bmix.support.files import read_json, write_json
from bmix.tracking.destination import Destination, destination, tracking_on
from bmix.workspace.locked import LOCK_FILE, file_digest

NOTES = OWN / "owed"


@dataclass(frozen=True)
class Owed:
    """A note of what is to be sent: the record of a run, and tags for the run or, with a number, for its version.

    night: the night or the moment that it is of (ISO 8601, UTC). to: the destination, without secrets. run: the folder
    of the run. lock: a digest of its dvc.lock, by which it is known whether the folder still holds that run.
    """

    night: str
    to: str
    run: str
    lock: str
    tags: dict[str, str]
    version: int | None = None

    @property
    def told(self) -> str:
        """What it is of, in words."""
        return f"the night of {self.night[:19]}" if self.version is None else f"version {self.version}"

    @property
    def path(self) -> Path:
        """The file of the note; by the order of the names the oldest comes first."""
        return NOTES / f"{stamp_of(self.night)}-{'run' if self.version is None else 'version'}.json"


def owe_run(record: NightRecord) -> None:
    """Note that the record of a night's candidate has to be there, with its result and the reason as tags."""
    tags = {"bmix.night": record.night, "bmix.night_result": record.result, "bmix.night_reason": record.reason}
    _note(record.night, record.run, Path(record.run), tags)


def owe_version(night: str, version: Version, reason: str) -> None:
    """Note that a version has to be in the registry, with the reason and its figures as tags, and the aliases."""
    figures = {group: version.note["mAP"][group] for group in ("all", "few")}
    measures = {f"bmix.mAP.{group}": f"{100 * value:.2f}" for group, value in figures.items() if value is not None}
    tags = {"bmix.version": str(version.number), "bmix.reason": reason, **measures}
    _note(night, version.note["run"], version.folder, tags, version.number)


def all_owed() -> list[Owed]:
    """Every note, the oldest first, whatever destination it is for; InputError if one is damaged."""
    return [_read(path) for path in sorted(NOTES.glob("*.json"))]


def is_for(note: Owed, target: Destination) -> bool:
    """Whether a note is for a destination; a changed password makes no other one of it."""
    return note.to == _named(target)


def lock_digest(folder: Path) -> str:
    """A digest of the dvc.lock in a folder; "" if there is none."""
    path = folder / LOCK_FILE
    return file_digest(path) if path.is_file() else ""


def _note(night: str, run: str, locked: Path, tags: dict[str, str], version: int | None = None) -> None:
    """Write a note, unless tracking is off. locked: a folder with the dvc.lock of the run."""
    if tracking_on():
        note = Owed(night, _named(destination()), run, lock_digest(locked), tags, version)
        write_json(note.path, asdict(note))


def _named(target: Destination) -> str:
    return f"{target.shown}, {target.experiment}"


def _read(path: Path) -> Owed:
    try:
        return Owed(**read_json(path))
    except (OSError, ValueError, TypeError) as error:
        expected = "what a night noted for MLflow"
        raise InputError(str(path), f"is damaged: {error}", expected, f"remove it: rm {path}") from error
