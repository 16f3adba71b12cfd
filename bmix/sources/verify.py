"""Every image looked at once: inside the root, a regular file, decodes to the end; and the digest of its bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bmix.data.decoding import UnusableImageError, measure
from bmix.data.manifest import Manifest, origin
from bmix.sources.image_names import named_alike
from bmix.sources.looks import look_notes
from bmix.sources.verify_memo import Examined, Found, recall, remember
from bmix.support.errors import SHOWN, InputError
from bmix.support.pace import Pace

EXAMINED_TOGETHER, EXAMINED_AT_ONCE = 32, 2048
"""Files handed to a thread as one task, and to all threads, so that a million of them do not wait in memory."""

SETTLED_NS = 2 * 10**9
"""A file changed less than this before it was read is not remembered: it can change again within one tick of a clock
that file systems round to."""


class MissingImageError(UnusableImageError):
    """There is no file of that name."""


def verify(
    manifest: Manifest, root: Path, where: str, unreadable: str = "stop", memo: Path | None = None
) -> Manifest:  # fmt: skip
    """The manifest with the digest of every image, after each was decoded to the end; a path in many rows once.

    root: the folder that the manifest's paths start from; no file outside is read, also not through a symbolic link.
    unreadable: "stop" raises one InputError that names the images that are missing, no regular file, outside the root,
    or refused by `decode`; the first few with file, row and reason. "skip" leaves their rows out and says so on stderr
    and in the note "unreadable"; the result may lack a class or a split, so validate it again.
    memo: a file that keeps what was found by path, size and time of change, also when this is stopped midway; what did
    not change is neither read nor decoded again. A damaged memo is ignored, and rewritten.
    Notes count the images that look odd (`look_notes`). Prints the time left every few seconds.
    """
    if not root.is_dir():
        raise InputError(
            "data.root", f"{root} is not a folder", "the folder that holds the images", "correct data.root"
        )
    file_of_row, paths = pd.factorize(manifest.frame["path"].to_numpy(object))
    resolved_root = root.resolve()
    examined = recall(memo, resolved_root, paths)
    faults = _examine_all(resolved_root, examined, memo)
    faulty_rows = np.flatnonzero(np.isin(file_of_row, list(faults)))
    notes = dict(manifest.notes)
    if len(faulty_rows):
        lines = [
            (origin(manifest.frame, row, where), _fault(resolved_root, paths[file], faults[file]))
            for row, file in zip(faulty_rows[:SHOWN].tolist(), file_of_row[faulty_rows[:SHOWN]].tolist(), strict=True)
        ]
        if unreadable == "stop":
            raise _refusal(lines, len(faulty_rows), where)
        notes["unreadable"] = _skipped(lines, len(faulty_rows), len(file_of_row))
        print(f"{where}: {notes['unreadable']}", file=sys.stderr)
    kept_N = np.ones(len(file_of_row), bool)
    kept_N[faulty_rows] = False
    file_of_row = file_of_row[kept_N]
    notes |= look_notes(paths[file_of_row], examined.known[file_of_row])
    digests = [f"{digest:016x}" for digest in examined.known["digest"].tolist()]
    frame = manifest.frame[kept_N].assign(digest=[digests[file] for file in file_of_row.tolist()])
    return replace(manifest, frame=frame, notes=notes)


def image_digest(root: Path, path: str) -> str:
    """BLAKE2b of the file's bytes as 16 hex digits; UnusableImageError says why a file is refused.

    root: already resolved.
    """
    return f"{examine(ImageRoot(root), path).digest:016x}"


class ImageRoot:
    """The folder, already resolved, that paths start from; each folder below it is resolved once, at its first use."""

    def __init__(self, root: Path) -> None:
        self._resolved = {"": str(root)}
        self._prefix = f"{str(root).rstrip('/')}/"

    def locate(self, path: str) -> tuple[str, os.stat_result]:
        """Where a path leads through links, and the status of what is there.

        UnusableImageError for a place outside the root; OSError and ValueError if there is nothing or no such path.
        """
        folder, _, name = path.rpartition("/")
        if folder not in self._resolved:
            self._resolved[folder] = os.path.realpath(self._prefix + folder, strict=True)
        place = f"{self._resolved[folder]}/{name}"
        status = os.lstat(place)
        if name in ("", ".", "..") or stat.S_ISLNK(status.st_mode):
            place = os.path.realpath(place, strict=True)
            status = os.lstat(place)
        if not place.startswith(self._prefix):
            raise UnusableImageError("leads out of the image root")
        return place, status


def examine(root: ImageRoot, path: str, known: Found | None = None) -> Found:
    """What there is to find out about one file, which is not opened where size and time of change are the known ones.

    UnusableImageError says why a file is refused.
    """
    try:
        place, status = root.locate(path)
        # Opening a pipe would wait for a writer for ever.
        if not stat.S_ISREG(status.st_mode):
            raise UnusableImageError("is not a regular file")
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known
        with io.FileIO(place) as file:
            content = file.readall()
    except FileNotFoundError as error:
        raise MissingImageError("does not exist") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UnusableImageError(f"cannot be read: {error}") from error
    if not content:
        raise UnusableImageError("is empty")
    look = measure(io.BytesIO(content))
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
    side = min(look.width, look.height)
    return Found(status.st_size, status.st_mtime_ns, digest, side, look.conversion, look.uniform, look.dark)


def _examine_all(root: Path, examined: Examined, memo: Path | None) -> dict[int, UnusableImageError]:
    """Fill in what is not known or has changed; the faults by position. The memo is written whatever ends this."""
    faults: dict[int, UnusableImageError] = {}
    count, news, started = len(examined.paths), False, time.time_ns()
    image_root = ImageRoot(root)

    def look(positions: range) -> list[tuple[int, Found | UnusableImageError]]:
        """What was not known of the files at these positions."""
        results: list[tuple[int, Found | UnusableImageError]] = []
        for position in positions:
            known = examined.found(position)
            try:
                found = examine(image_root, examined.paths[position], known)
                if found is not known:
                    results.append((position, found))
            except UnusableImageError as fault:
                results.append((position, fault))
        return results

    try:
        with (
            warnings.catch_warnings(),
            Pace("verified", count) as pace,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            # A picture over the pixel limit is refused; PIL's warning about it, or about odd metadata, adds nothing.
            warnings.simplefilter("ignore")
            blocks = (range(count)[start : start + EXAMINED_AT_ONCE] for start in range(0, count, EXAMINED_AT_ONCE))
            for block in blocks:
                tasks = [block[start : start + EXAMINED_TOGETHER] for start in range(0, len(block), EXAMINED_TOGETHER)]
                for task, results in zip(tasks, pool.map(look, tasks), strict=True):
                    for position, result in results:
                        found = None if isinstance(result, UnusableImageError) else result
                        if isinstance(result, UnusableImageError):
                            faults[position] = result
                        if found != examined.found(position):
                            examined.note(position, found)
                            news = True
                    pace.tell(task[-1] + 1)
    finally:
        if memo is not None and news:
            remember(memo, root, examined, started - SETTLED_NS)
    return faults


def _fault(root: Path, path: str, fault: UnusableImageError) -> str:
    """What is wrong with a path, and of a missing image the name that was likely meant."""
    alike = named_alike(root / path) if isinstance(fault, MissingImageError) else None
    return f'"{path}" {fault}' + (f', but "{alike}" does' if alike else "")


def _listed(lines: list[tuple[str, str]], count: int) -> str:
    rest = [f"and {count - len(lines)} more"] if count > len(lines) else []
    return "\n    ".join([*(f"{place}: {found}" for place, found in lines), *rest])


def _skipped(lines: list[tuple[str, str]], count: int, total: int) -> str:
    return f"{count} of {total} images left out as unusable\n    {_listed(lines, count)}"


def _refusal(lines: list[tuple[str, str]], count: int, where: str) -> InputError:
    found = f"{count} unusable images\n    {_listed(lines, count)}"
    if count == 1:
        where, found = lines[0]
    return InputError(
        where,
        found,
        "image files below data.root that decode in full",
        "replace these files, drop their rows, or set data.unreadable to skip",
    )
