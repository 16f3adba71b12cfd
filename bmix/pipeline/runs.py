"""The runs of a project: its own folder and the copies below `.bmix/runs/`, with what they are and how they ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bmix.params import flat, parse_params, read_yaml
from bmix.pipeline.dvc_state import dvc_at_work
from bmix.pipeline.projects import RUNS
from bmix.pipeline.table import Measures, aligned, percent, read_measures
from bmix.support.errors import InputError, listed, shortened
from bmix.workspace.locked import LOCK_FILE, PARAMS_FILE
from bmix.workspace.run_note import read_note

State = Literal["running", "finished", "failed", "not finished"]
GROUPS = ("all", "many", "medium", "few")
_SHOWN = 3
_LONGEST_VALUE = 30
_AGES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class RunSummary:
    """One run: `differs` holds the params that are not those of the project, `age` is in seconds since it changed."""

    name: str
    recipe: str
    differs: dict[str, Any]
    measures: Measures
    state: State
    age: float
    path: Path

    def plain(self) -> dict[str, Any]:
        """The run as values for JSON, shares in [0, 1]."""
        shares = {group: self.measures.get(f"mAP {group}") for group in GROUPS}
        return {
            "name": self.name,
            "recipe": self.recipe,
            "differs": self.differs,
            "mAP": shares,
            "state": self.state,
            "age_seconds": round(self.age),
            "path": str(self.path),
        }


def list_runs(project: Path = Path()) -> list[RunSummary]:
    """The run of the project's own folder, then the copies, the one that changed last first.

    InputError if params.yaml of the project cannot be used; a copy whose params cannot be read is left out.
    """
    base = parse_params(read_yaml(project / PARAMS_FILE)).flat()
    own = _summary("this folder", project, base, base)
    copies = []
    for folder in sorted((project / RUNS).glob("*/")):
        params = _params(folder)
        if params:
            copies.append(_summary(folder.name, folder, params, base))
    return [own, *sorted(copies, key=lambda run: run.age)]


def render_runs(runs: Sequence[RunSummary]) -> str:
    """The runs as a table for people, mAP in percent."""
    head = ["run", "recipe", "differs in", *(f"mAP {group}" for group in GROUPS), "state", "age", "path"]
    body = [
        [
            run.name,
            run.recipe,
            listed((f"{key}={shortened(str(value), _LONGEST_VALUE)}" for key, value in run.differs.items()), _SHOWN)
            or "–",
            *(percent((run.measures.get(f"mAP {group}"), None)) for group in GROUPS),
            run.state,
            _age(run.age),
            str(run.path),
        ]
        for run in runs
    ]
    return aligned([head, *body], lambda column: head[column].startswith("mAP") or head[column] == "age")


def _params(folder: Path) -> dict[str, Any]:
    """The params that a copy was made for, by dotted key; empty if they cannot be read."""
    if note := read_note(folder):
        return note.params
    try:
        values = flat(read_yaml(folder / PARAMS_FILE))
        return {key: value for key, value in values.items() if not key.startswith("retrain.")}
    except (InputError, OSError, AttributeError):
        return {}


def _summary(name: str, folder: Path, params: dict[str, Any], base: dict[str, Any]) -> RunSummary:
    try:
        measures = read_measures(folder)
    except (InputError, OSError):
        measures = {}
    differs = {key: value for key, value in params.items() if key not in base or base[key] != value}
    recipe = str(params.get("training.recipe", ""))
    return RunSummary(name, recipe, differs, measures, _state(folder, bool(measures)), _seconds_since(folder), folder)


def _state(folder: Path, measured: bool) -> State:
    if (folder / ".dvc" / "tmp").is_dir() and dvc_at_work(folder):
        return "running"
    if any((folder / ".bmix" / "failures").glob("*.json")):
        return "failed"
    return "finished" if measured else "not finished"


def _seconds_since(folder: Path) -> float:
    changed = [path.stat().st_mtime for path in (folder / LOCK_FILE, folder / PARAMS_FILE) if path.exists()]
    return max(0.0, time.time() - max(changed, default=time.time()))


def _age(seconds: float) -> str:
    for size, unit in _AGES:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return "0 s"
