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

from bmix.data.decoding import UnusableImageError, decode
from bmix.data.manifest import SHOWN, Manifest, origin
from bmix.errors import InputError

PROGRESS_SECONDS = 5.0


def verify(manifest: Manifest, root: Path, where: str) -> Manifest:
    """The manifest with the digest of every image, after each was decoded in full.

    root: the folder that the manifest's paths start from; no file outside is read, also not through a symbolic link.
    Prints a line with the time left every few seconds to stderr. Raises one InputError that names the images that are
    missing, no regular file, outside the root, or refused by `decode`; the first few with file, row and reason.
    """
    if not root.is_dir():
        raise InputError(
            "data.root", f"{root} is not a folder", "the folder that holds the images", "correct data.root"
        )
    paths = manifest.frame["path"].tolist()
    resolved_root = root.resolve()

    def examine(path: str) -> str | UnusableImageError:
        try:
            return image_digest(resolved_root, path)
        except UnusableImageError as fault:
            return fault

    started = reported = time.monotonic()
    digests: list[str] = []
    faults: list[tuple[int, UnusableImageError]] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # A picture over the pixel limit is refused below; PIL's warning about it, or about odd metadata, adds nothing.
        warnings.simplefilter("ignore")
        for position, result in enumerate(pool.map(examine, paths)):
            if isinstance(result, UnusableImageError):
                faults.append((position, result))
            else:
                digests.append(result)
            now = time.monotonic()
            if now - reported >= PROGRESS_SECONDS:
                reported = now
                left = (now - started) / (position + 1) * (len(paths) - position - 1)
                print(f"verified {position + 1} of {len(paths)} images, about {left:.0f} s left", file=sys.stderr)
    if faults:
        _refuse(manifest, faults, where)
    return replace(manifest, frame=manifest.frame.assign(digest=digests))


def image_digest(root: Path, path: str) -> str:
    """BLAKE2b of the file's bytes as 16 hex digits; UnusableImageError says why a file is refused.

    root: already resolved.
    """
    try:
        resolved = (root / path).resolve(strict=True)
        if not resolved.is_relative_to(root):
            raise UnusableImageError("leads out of the image root")
        # Opening a pipe would wait for a writer for ever.
        if not stat.S_ISREG(resolved.stat().st_mode):
            raise UnusableImageError("is not a regular file")
        content = resolved.read_bytes()
    except FileNotFoundError as error:
        raise UnusableImageError("does not exist") from error
    except (OSError, RuntimeError) as error:
        raise UnusableImageError(f"cannot be read: {error}") from error
    decode(io.BytesIO(content))
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _refuse(manifest: Manifest, faults: list[tuple[int, UnusableImageError]], where: str) -> None:
    paths = manifest.frame["path"]
    shown = [(origin(manifest.frame, row, where), f'"{paths.iloc[row]}" {fault}') for row, fault in faults[:SHOWN]]
    if len(faults) == 1:
        where, found = shown[0]
    else:
        rest = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        lines = [f"{place}: {found}" for place, found in shown] + rest
        found = f"{len(faults)} unusable images\n    " + "\n    ".join(lines)
    raise InputError(
        where, found, "image files below data.root that decode in full", "replace these files, or drop their rows"
    )
