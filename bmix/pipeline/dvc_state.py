"""What a DVC that was interrupted or killed leaves half-written, and the repair that lets the next one run.

DVC writes `.dvc/tmp/rwlock` (who reads and writes which path at this moment) and `dvc.lock` in place, so that a process
that ends in the middle leaves them empty or cut off, after which every command fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.support.files import write_json

if TYPE_CHECKING:
    import psutil

RWLOCK = Path(".dvc/tmp/rwlock")
LOCK_FILE, SET_ASIDE = Path("dvc.lock"), Path(".bmix/dvc.lock.damaged")

_REFUSED_LOCK_FILE = re.compile(r"dvc\.lock'.*(validation failed|invalid|corrupted|format error)")
_CONFLICT = b"<<<<<<< "


def repair(folder: Path, said: Iterable[str] = ()) -> list[str]:
    """Repair what an ended DVC left in the project in `folder`; lines that tell of it, none where nothing was done.

    said: what the DVC that failed printed, without which dvc.lock is taken as it is. Nothing is touched while another
    DVC runs in this project.
    """
    told = repair_rwlock(folder)
    if any(map(_REFUSED_LOCK_FILE.search, said)) and not has_conflict(folder):
        (folder / SET_ASIDE).parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / LOCK_FILE, folder / SET_ASIDE)
        told.append(
            f"{LOCK_FILE} was left half-written by a run that was interrupted; it is set aside as {SET_ASIDE}, "
            "and stages that DVC's cache knows are restored, not run"
        )
    return told


def repair_rwlock(folder: Path) -> list[str]:
    """The part of `repair` that concerns `.dvc/tmp/rwlock`: removed where unreadable, rid of processes that ended."""
    path = folder / RWLOCK
    if not path.exists() or _ended(path) == set():
        return []
    with _alone(path) as alone:
        if not alone or dvc_at_work(folder):
            return []
        # Looked at again: a DVC may have been writing it the first time.
        ended = _ended(path)
        if ended is None:
            path.unlink(missing_ok=True)
            return [f"{RWLOCK} was left unreadable by a DVC that was interrupted; none runs here, so it is removed"]
        if not ended:
            return []
        write_json(path, _without(_entries(path) or {}, ended))
        processes = ", ".join(map(str, sorted(ended)))
        return [f"{RWLOCK} named processes that are no longer DVC ({processes}); they are removed from it"]


def has_conflict(folder: Path) -> bool:
    """Whether dvc.lock holds the marks of a merge that was not settled, which is nobody's to throw away."""
    with contextlib.suppress(OSError):
        return _CONFLICT in (folder / LOCK_FILE).read_bytes()
    return False


def dvc_at_work(folder: Path) -> list[int]:
    """The processes that look like DVC and work in the project in `folder`, or may, since they are another user's."""
    import psutil

    root = folder.resolve()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if _is_dvc(process) and _works_in(process, root):
                found.append(process.pid)
    return found


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the two locks that DVC takes before it writes the file, as DVC does; False where another process has one."""
    with contextlib.ExitStack() as stack:
        for lock in (path.with_name("lock"), path.with_name("rwlock.lock")):
            handle = stack.enter_context(lock.open("a"))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
        yield True


def _ended(path: Path) -> set[int] | None:
    """The processes that the file names and that cannot be those any more; None where it cannot be read as DVC's."""
    entries = _entries(path)
    if entries is None:
        return None
    written = path.stat().st_mtime
    return {pid for pid, _ in _holders(entries) if not _can_hold(pid, written)}


def _entries(path: Path) -> dict[str, Any] | None:
    """What DVC noted of reads and writes; None where it is not in DVC's form."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for _ in _holders(content):
            pass
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return dict(content)


def _holders(entries: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for holder in entries.get("write", {}).values():
        yield int(holder["pid"]), str(holder["cmd"])
    for holders in entries.get("read", {}).values():
        for holder in holders:
            yield int(holder["pid"]), str(holder["cmd"])


def _without(entries: dict[str, Any], ended: set[int]) -> dict[str, Any]:
    """The entries without those of processes that ended."""
    writes = {place: holder for place, holder in entries.get("write", {}).items() if holder["pid"] not in ended}
    reads = {
        place: kept
        for place, holders in entries.get("read", {}).items()
        if (kept := [holder for holder in holders if holder["pid"] not in ended])
    }
    return {"write": writes, "read": reads}


def _can_hold(pid: int, written: float) -> bool:
    """Whether this can be the process that was noted: it is DVC, and older than the note; numbers are used again."""
    import psutil

    try:
        process = psutil.Process(pid)
        return _is_dvc(process) and process.create_time() <= written
    except psutil.NoSuchProcess:
        return False


def _is_dvc(process: psutil.Process) -> bool:
    import psutil

    try:
        return any(Path(part).name == "dvc" for part in process.cmdline()[:4])
    except psutil.AccessDenied:
        return process.name() == "dvc"


def _works_in(process: psutil.Process, root: Path) -> bool:
    import psutil

    try:
        here = Path(process.cwd())
        command = process.cmdline()
    except psutil.AccessDenied:
        return True
    if "--cd" in command[:-1]:
        here /= command[command.index("--cd") + 1]
    # A copy of the project lies below it, with a DVC of its own.
    return next((place for place in (here, *here.parents) if (place / ".dvc").is_dir()), None) == root
