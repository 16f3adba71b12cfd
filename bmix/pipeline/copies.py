"""Copies of the project with edited params; the user's own params.yaml is never written."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from bmix.params import PLACES, Params
from bmix.pipeline.repro import stage_environment
from bmix.support.errors import InputError, listed
from bmix.support.files import replaced, write_text
from bmix.support.locks import held
from bmix.workspace.run_note import RunNote, read_note

CODE_FOLDERS = ("bmix", "stages")
CODE_FILES = ("dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/plots/per_class.json")
_LONGEST_NAME = 60
_PATIENCE = 10 * 60
"""Seconds after which DVC no longer answers, or a process that makes the same copy no longer works."""


def copy_name(base: Params, params: Params) -> str:
    """What was edited, for people, and a digest of all params, e.g. `recipe-bce_training-seed-1_5d0c6a1f`."""
    before, after = base.flat(), params.flat()
    lasts = Counter(_last(key) for key in after)
    edited = {key: value for key, value in after.items() if key not in before or before[key] != value}
    words = [f"{_last(key) if lasts[_last(key)] == 1 else key}-{value}" for key, value in edited.items()]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(words))[:_LONGEST_NAME]
    digest = hashlib.blake2b(json.dumps(after, sort_keys=True).encode(), digest_size=4).hexdigest()
    return f"{readable}_{digest}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def find_copy(runs: Path, base: Params, params: Params) -> Path:
    """The copy below `runs` with these params, whatever params.yaml held when it was made; else where it would be."""
    own = runs / copy_name(base, params)
    return next(iter(sorted(runs.glob(f"*_{own.name.rpartition('_')[2]}"))), own)


def refresh_copy(original: Path, folder: Path, content: dict[str, Any], note: RunNote | None = None) -> None:
    """Make or update a copy: code and params copied, data linked, the cache shared; what is equal is not touched.

    One process at a time makes the same copy; another waits for it. InputError if the copy holds other params than
    those of `note`.
    """

    def refusal(process: str) -> TimeoutError:
        return TimeoutError(None, f"process {process} has been making the copy {folder} for {_PATIENCE // 60} minutes")

    with held(folder.parent.with_name("locks") / f"{folder.name}.lock", refusal, _PATIENCE):
        if note:
            _refuse_other_params(folder, note)
        _refresh(original, folder, content)
        if note:
            note.write(folder)


def _refuse_other_params(folder: Path, note: RunNote) -> None:
    held_already = read_note(folder)
    if held_already is None or held_already.params == note.params:
        return
    keys = [
        key for key in {**held_already.params, **note.params} if held_already.params.get(key) != note.params.get(key)
    ]
    differing = listed(f"{key} {held_already.params.get(key)!r}, not {note.params.get(key)!r}" for key in sorted(keys))
    raise InputError(
        f"--name {folder.name}",
        f"{folder} holds a run with other params: {differing}",
        "a new name, or the params of the run that has it",
        f"choose another name, or remove that run: rm -r {shlex.quote(str(folder))}",
    )


def _refresh(original: Path, folder: Path, content: dict[str, Any]) -> None:
    for name in CODE_FOLDERS:
        _mirror(original / name, folder / name)
    for name in CODE_FILES:
        if (original / name).is_file():
            _write_if_new(folder / name, (original / name).read_bytes())
    linked = {section: dict(keys) for section, keys in content.items()}
    # A folder is linked before what lies in it, which is then reached through that link.
    for section, key in sorted(PLACES, key=lambda place: len(Path(content[place[0]][place[1]]).parts)):
        linked[section][key] = _link(original, folder, linked[section][key])
    _write_if_new(folder / "params.yaml", yaml.safe_dump(linked, sort_keys=False, allow_unicode=True).encode())
    if not (folder / ".dvc" / "config.local").exists():
        _write_local_config(original, folder)


def _mirror(source: Path, target: Path) -> None:
    wanted = _code(source)
    for relative in sorted(wanted):
        _write_if_new(target / relative, (source / relative).read_bytes())
    for relative in _code(target) - wanted:
        (target / relative).unlink()


def _code(folder: Path) -> set[Path]:
    """The files below a folder of code, whatever their kind, relative to it; what Python caches is not among them."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder) for path in files}


def _write_if_new(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def _link(original: Path, folder: Path, value: str) -> str:
    """Make an input reachable from the copy by the path returned: as it was, absolute where it leaves the project."""
    source = original / value
    if not source.exists() or Path(value).is_absolute():
        return value
    if ".." in Path(value).parts:
        return str(source.resolve())
    place = folder / value
    if any(parent.is_symlink() for parent in [*place.parents][: len(Path(value).parts)]):
        return value
    place.parent.mkdir(parents=True, exist_ok=True)
    aim = os.path.relpath(source.resolve(), place.parent.resolve())
    if not (place.is_symlink() and str(place.readlink()) == aim):
        place.unlink(missing_ok=True)
        place.symlink_to(aim)
    return value


def _write_local_config(original: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    try:
        done = subprocess.run(
            command, cwd=original, env=stage_environment(), capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(None, f"`dvc cache dir` has not answered within {_PATIENCE // 60} minutes") from error
    if done.returncode != 0:
        raise InputError(
            str(original.resolve()),
            done.stderr.strip(),
            "a folder with a DVC repository (.dvc)",
            "run `dvc init` in it",
        )
    cache = (original / done.stdout.strip()).resolve()
    settings = configparser.ConfigParser()
    # A copy lies inside the original's ignored .bmix folder and has no git of its own.
    settings["core"] = {"no_scm": "true"}
    settings["cache"] = {"dir": os.path.relpath(cache, (folder / ".dvc").resolve())}
    text = io.StringIO()
    settings.write(text)
    write_text(folder / ".dvc" / "config.local", text.getvalue())
