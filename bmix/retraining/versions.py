"""The models that were accepted, a folder each, and the two links that say which one is served and which was before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bmix.models.calibration import CALIBRATION, weights_digest
from bmix.models.registry import SPEC, WEIGHTS
from bmix.support.errors import InputError, listed
from bmix.support.files import read_json, replaced_folder, write_json
from bmix.support.locks import held

MODELS = Path("models")
VERSIONS, CHAMPION, PREVIOUS = MODELS / "versions", MODELS / "champion", MODELS / "previous"
NOTE, DATA = "version.json", "data"
MODEL_FILES = (WEIGHTS, SPEC, CALIBRATION, "README.md")
WAY_BACK = ("params.yaml", "dvc.lock", "dvc.yaml")
"""Beside the model: with them DVC's cache gives back all outputs of the run."""
PREPARED = ("manifest.parquet", "classes.json")
_LOCK = Path(".bmix/locks/models.lock")
_PATIENCE = 60.0
ANY = -1
"""Stands for whichever version is the champion."""


@dataclass(frozen=True)
class Version:
    """An accepted model. folder: model, way back and data. note: the content of its version.json.

    The note holds `made` (ISO 8601, UTC), `run` (the folder that it was made in), `weights` (a digest), `reason`,
    `facts` (of its data) and `mAP` (of its run, in [0, 1]).
    """

    number: int
    folder: Path
    note: Mapping[str, Any]

    @property
    def data(self) -> Path:
        """The folder with the manifest and the classes."""
        return self.folder / DATA

    @property
    def name(self) -> str:
        """The version in words."""
        return f"version {self.number}"


def all_versions() -> list[Version]:
    """Every accepted model, the oldest first; InputError if the note of one is damaged."""
    return [_read(folder) for folder in sorted(VERSIONS.glob("[0-9]*"), key=_number) if folder.is_dir()]


def champion() -> Version | None:
    """The version that is served; None before the first. InputError if `models/champion` is something else."""
    return _linked(CHAMPION)


def previous() -> Version | None:
    """The version that was served before; None if there is none."""
    return _linked(PREVIOUS)


def best_before(champion: Version, memory: int) -> Version | None:
    """The version with the best mAP, on its own night's test split, of the `memory` ones before the champion; None if
    there is none.
    """
    older = [version for version in all_versions() if version.number < champion.number]
    recent = [version for version in older[-memory:] if version.note["mAP"]["all"] is not None] if memory else []
    return max(recent, key=lambda version: (version.note["mAP"]["all"], version.number), default=None)


def find_version(text: str) -> Version:
    """The version of this number, or `champion` or `previous`; InputError if there is none."""
    if text in (CHAMPION.name, PREVIOUS.name):
        found = _linked(MODELS / text)
        if found is not None:
            return found
    elif text.isascii() and text.isdigit() and (folder := _folder(int(text))).is_dir():
        return _read(folder)
    numbers = [str(version.number) for version in all_versions()]
    raise InputError(
        f"version {text}",
        f"there is none in {VERSIONS}",
        f"one of {listed(numbers)}" if numbers else "an accepted model: run python -m flows.retrain --once first",
        "choose another one; bmix models list shows them",
    )


def keep_version(
    run: Path, reason: str, facts: Mapping[str, Any], keep: Callable[[Path], None] = lambda folder: None
) -> Version:
    """Copy the model of a finished run, its way back and its data into a new version's folder: whole or not at all.

    keep: writes more into the folder of the data. Nothing that is served changes.
    """
    number = max((version.number for version in all_versions()), default=0) + 1
    folder = _folder(number)
    model = run / "models" / "final"
    with replaced_folder(folder) as temporary:
        (temporary / DATA).mkdir()
        for source, target in [
            *((model / name, temporary / name) for name in MODEL_FILES),
            *((run / name, temporary / name) for name in WAY_BACK),
            *((run / "data" / "prepared" / name, temporary / DATA / name) for name in PREPARED),
        ]:
            if source.is_file() or target.name in (WEIGHTS, SPEC):
                shutil.copyfile(source, target)
        keep(temporary / DATA)
        note = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": str(run),
            "weights": weights_digest(temporary / WEIGHTS),
            "reason": reason,
            "facts": dict(facts),
            "mAP": read_json(run / "metrics.json")["mAP"],
        }
        write_json(temporary / NOTE, note)
    return Version(number, folder, note)


def promote(version: Version, instead_of: int | None = ANY) -> None:
    """Make a version the champion, and the champion the previous one: each by one rename, so that no reader finds none.

    instead_of: the number of the version that must be the champion at this moment, None for none; ANY: whichever is.
    InputError if it is another one.
    """
    with _alone():
        now = champion()
        number = now.number if now else None
        if instead_of not in (ANY, number):
            raise InputError(
                str(CHAMPION),
                f"is version {number} by now",
                f"version {instead_of}, which the candidate was compared with",
                "nothing: the next night compares with the new champion",
            )
        if now is not None and now.number != version.number:
            _point(PREVIOUS, now)
        _point(CHAMPION, version)


def roll_back() -> tuple[Version, Version]:
    """Exchange champion and previous; the new and the former champion. InputError if there is no previous one."""
    with _alone():
        now, before = champion(), previous()
        if now is None or before is None or now.number == before.number:
            raise InputError(
                str(PREVIOUS),
                "names no other version than the champion",
                "a version that was served before",
                "promote one by its number: bmix models list, bmix models promote NUMBER",
            )
        # A kill between the two leaves both at the version that is wanted.
        _point(CHAMPION, before)
        _point(PREVIOUS, now)
        return before, now


def _alone() -> AbstractContextManager[None]:
    return held(_LOCK, _refusal, _PATIENCE)


def _refusal(process: str) -> TimeoutError:
    return TimeoutError(None, f"process {process} has been changing {CHAMPION} for {_PATIENCE:.0f} s")


def _point(link: Path, version: Version) -> None:
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version.folder.relative_to(link.parent))
    os.replace(temporary, link)


def _linked(link: Path) -> Version | None:
    if not link.is_symlink():
        if not link.exists():
            return None
        found = "is a file or folder"
    elif (folder := VERSIONS / link.readlink().name).is_dir() and folder.resolve() == link.resolve():
        return _read(folder)
    else:
        found = f"leads to {link.readlink()}, which is no version"
    raise InputError(
        str(link), found, f"a link to a folder in {VERSIONS}", "move it away; bmix models promote NUMBER makes it anew"
    )


def _read(folder: Path) -> Version:
    path = folder / NOTE
    try:
        note = read_json(path)
        return Version(
            _number(folder), folder, {key: note[key] for key in ("made", "run", "weights", "reason", "facts", "mAP")}
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        remedy = f"remove the version: rm -r {folder}"
        raise InputError(
            str(path), f"is missing or damaged: {error}", "the note of an accepted model", remedy
        ) from error


def _folder(number: int) -> Path:
    return VERSIONS / f"{number:04d}"


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isdigit() else -1
