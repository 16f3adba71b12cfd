"""Exports that are a folder: only what an earlier export wrote is ever replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bmix.support.errors import InputError
from bmix.support.files import read_json, write_json

NOTE = "bmix-export.json"


def write_note(folder: Path, form: str) -> None:
    """Mark a folder as an export in this form."""
    write_json(folder / NOTE, {"written_by": "bmix labels export", "format": form})


def refuse_folder(output: Path, form: str, replace: bool) -> None:
    """InputError where `output` is a folder that may not be replaced; a path where nothing is passes."""
    if not output.is_dir():
        return
    if not replace:
        remedy = "name another, or have it replaced: --replace"
        raise InputError("--output", f"{output} is there already", "a new folder", remedy)
    if _noted(output) != form:
        found = f"{output} is no {form} export of bmix: {NOTE} in it would say so"
        raise InputError("--output", found, f"a folder that bmix labels export --format {form} wrote", "name another")


def _noted(folder: Path) -> Any:
    try:
        return read_json(folder / NOTE)["format"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
