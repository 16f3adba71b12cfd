"""Where the images of a COCO file are, whatever its file names start with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from bmix.data.manifest import path_fault
from bmix.sources.coco.file import CocoFile
from bmix.sources.split_names import split_named
from bmix.support.errors import InputError

LOOKED_FOR = 20
"""How many file names, evenly spread, decide on the folder that all start from."""


def image_paths(file: CocoFile, names: list[str], part: str, root: Path) -> list[str]:
    """The path below `root` of each image of a part.

    names: the file names as the file has them: below the folder of the images, or as they were on another machine, or
    URLs. The folder is the one in which most of LOOKED_FOR names are, of PART, images/PART and images in the root, the
    root itself, the same in and around the folder of the JSON file, and folders that are named like the same split; if
    none is in these, of any folder in the root or one level deeper. Of paths of other machines and of URLs the longest
    end that leads to a file counts.
    Raises InputError for an absolute path or URL that leads to no image, an empty name, two names of one image, and
    where no folder holds any of them.
    """
    if not names:
        return []
    for position, name in enumerate(names):
        if not name.strip():
            raise InputError(file.where("images", position), "file_name is empty", "a path", "correct it")
    sample = names[:: max(1, len(names) // LOOKED_FOR)][:LOOKED_FOR]
    folder, found = _best_folder(sample, _usual_folders(file.path, part, root))
    if folder is None:
        folder, found = _best_folder(sample, _every_folder(root))
    if folder is None:
        folder = root / part
        if not folder.is_dir():
            raise _no_folder(root, part, names[0])
    prefix = folder.resolve().relative_to(root.resolve()).as_posix()
    by_end = any(end not in (None, name) for end, name in zip(found, sample, strict=True))
    own = names
    if by_end or any(map(_is_odd, names)):
        own = [_own_path(file, position, name, folder, by_end) for position, name in enumerate(names)]
        _refuse_two_names(file, names, own)
    return own if prefix == "." else [f"{prefix}/{name}" for name in own]


def _best_folder(names: list[str], folders: Iterable[Path]) -> tuple[Path | None, list[str | None]]:
    """The first folder in which most of the names are, and what they are there; None if none is in any."""
    best: Path | None = None
    found_in_best: list[str | None] = [None] * len(names)
    for folder in folders:
        found = [_existing(folder, name) for name in names]
        if found.count(None) < found_in_best.count(None):
            best, found_in_best = folder, found
    return best, found_in_best


def _usual_folders(json_path: Path, part: str, root: Path) -> Iterator[Path]:
    """The folders to look into, each once, those inside the root alone."""
    beside = json_path.parent
    split = split_named(part)
    alike = [
        folder
        for base in (root, root / "images")
        if base.is_dir() and split
        for folder in sorted(base.iterdir())
        if folder.is_dir() and split_named(folder.name) == split
    ]
    around = [root, beside, beside.parent]
    places = [place for base in around for place in (base / part, base / "images" / part, base / "images", base)]
    inside = root.resolve()
    seen = set()
    for folder in [*places, *alike]:
        resolved = folder.resolve()
        if resolved not in seen and resolved.is_dir() and resolved.is_relative_to(inside):
            seen.add(resolved)
            yield folder


def _every_folder(root: Path) -> Iterator[Path]:
    """The folders in the root, and those in them."""
    for pattern in ("*", "*/*"):
        for folder in sorted(root.glob(pattern)):
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                yield folder


def _existing(folder: Path, name: str) -> str | None:
    """The path below a folder at which there is a file: the name, or an end of it; None if there is none."""
    plain = _plain(name)
    steps = plain.split("/")
    for start in range(len(steps)):
        end = "/".join(steps[start:])
        if end and not path_fault(end) and is_file(folder / end):
            return end
    return None


def _plain(name: str) -> str:
    """A file name with / between folders; of a URL its path, or the one that it hands over as d=."""
    if not _is_url(name):
        return name.replace("\\", "/")
    # No URL parser: it refuses some texts.
    address, _, query = name.partition("?")
    path = query[2:].partition("&")[0] if query.startswith("d=") else address.partition("://")[2] or address
    return unquote(path.partition("#")[0]).lstrip("/")


def _is_url(name: str) -> bool:
    return "://" in name or "?d=" in name


def _is_odd(name: str) -> bool:
    """Whether a file name is no path below a folder."""
    return _is_url(name) or bool(path_fault(name))


def _own_path(file: CocoFile, position: int, name: str, folder: Path, by_end: bool) -> str:
    """The path of an image below its folder.

    by_end: the ends of names were found. Else a plain name is not looked for: each is when it is verified.
    """
    if not by_end and not _is_odd(name):
        return name
    found = _existing(folder, name)
    if found is not None:
        return found
    fault = "is a URL" if "://" in name else "is absolute" if name.startswith("/") else ""
    if not fault:
        return name
    raise InputError(
        file.where("images", position),
        f'file_name "{name[:100]}" {fault}, and no image of that name is in {folder}',
        "a path below the part's folder",
        "put the image there, and keep its name or correct file_name",
    )


def _refuse_two_names(file: CocoFile, names: list[str], own: list[str]) -> None:
    """InputError if different names were found to be one image: the folders that told them apart are lost."""
    first_of: dict[str, int] = {}
    for position, path in enumerate(own):
        first = first_of.setdefault(path, position)
        if names[first] != names[position] and _plain(names[first]) != _plain(names[position]):
            raise InputError(
                file.where("images", position),
                f'file_name "{names[position][:100]}" leads to {path}, as does that of images[{first}]',
                "a name of its own for each image",
                "keep the folders that are in file_name, or rename the images",
            )


def _no_folder(root: Path, part: str, name: str) -> InputError:
    return InputError(
        "data.root",
        f'{root / part} is not a folder, and "{name[:100]}", an image of {part}, is not below {root} either',
        f"the images of {part} in a folder of that name, in images, or in {root} itself",
        f"correct data.root, unpack the images there, or leave {part} out of data.splits",
    )


def is_file(path: Path) -> bool:
    """Whether there is a file, also for a name that no file system has."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
