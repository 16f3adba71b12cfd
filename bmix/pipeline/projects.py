"""Where a pipeline runs: in the project's own folder, or in a copy of it where params are edited."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bmix.params import Params, parse_params, read_yaml
from bmix.pipeline.checks import check_inputs, edited_params

HOME = Path(".bmix")


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


def open_project(edits: list[str]) -> Project:
    """The project with `key=value` edits, its params and data checked: this folder, or a copy below `.bmix/runs/`.

    Edits that change nothing give this folder. Equal params give the same copy, so that a second run finds the first
    one's outputs; all copies share this project's cache, so that stages with equal inputs are restored, not run.
    InputError before anything is written.
    """
    content, params = edited_params(edits)
    check_inputs(params)
    base = parse_params(read_yaml(Path("params.yaml")))
    if params == base:
        return Project(Path(), params)
    # pandas, which comes with it, takes half a second: most runs are in place.
    from bmix.pipeline.copies import copy_name, refresh_copy

    folder = HOME / "runs" / copy_name(base, params)
    refresh_copy(Path(), folder, content)
    return Project(folder, params, {"BMIX_HOME": str(HOME.resolve())})
