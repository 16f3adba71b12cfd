"""Where a pipeline runs: in the project's own folder, or in a copy of it where params are edited."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmix.params import Params, parse_params, read_yaml
from bmix.pipeline.checks import check_inputs
from bmix.pipeline.start import run_params
from bmix.support.errors import InputError
from bmix.workspace.run_note import RunNote

HOME = Path(".bmix")
RUNS = HOME / "runs"
_LONGEST_NAME = 60
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST_NAME - 1}}}")


@dataclass(frozen=True)
class Project:
    """A folder that DVC can bring up to date, with the environment that its stages need."""

    folder: Path
    params: Params
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """The folder in words."""
        return "this folder" if self.folder == Path() else str(self.folder)


def check_name(name: str) -> None:
    """InputError unless the name of a run is fit for a folder; "", which stands for none, is."""
    if name and not _NAME.fullmatch(name):
        expected = f"letters, digits, dots, dashes and underscores, a letter or digit first, {_LONGEST_NAME} at most"
        raise InputError("--name", f"{name!r} is not a name for a run", expected, "choose another name")


def open_project(edits: list[str], name: str = "") -> Project:
    """The project with `key=value` edits, its params and data checked: this folder, or a copy below `.bmix/runs/`.

    Edits that change nothing give this folder, unless the run is given a name, which is that of its copy. Without a
    name equal params give the same copy, so that a second run finds the first one's outputs; all copies share this
    project's cache, so that stages with equal inputs are restored, not run. InputError before anything is written.
    """
    check_name(name)
    content, params = run_params(edits)
    check_inputs(params)
    base = parse_params(read_yaml(Path("params.yaml")))
    if params.flat() == base.flat() and not name:
        return Project(Path(), params)
    # pandas, which comes with it, takes half a second: most runs are in place.
    from bmix.pipeline.copies import find_copy

    return open_copy(RUNS / name if name else find_copy(RUNS, base, params), params, content, name)


def open_copy(folder: Path, params: Params, content: dict[str, Any], name: str = "") -> Project:
    """The copy in `folder`, made or brought up to date. content: of its params.yaml, which `params` are.

    name: what a person called the run. InputError if the copy of that name holds other params.
    """
    from bmix.pipeline.copies import refresh_copy

    refresh_copy(Path(), folder, content, RunNote(name, params.flat()))
    return Project(folder, params, {"BMIX_HOME": str(HOME.resolve())})
