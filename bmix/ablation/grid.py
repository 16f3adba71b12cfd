"""Grids: what a table runs, read from a YAML file; the paper's tables are such files too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.ablation.measures import MEASURES
from bmix.params import read_yaml
from bmix.support.errors import InputError, nearest

TABLES = Path(__file__).parent / "tables"
ANALYSES = ("confidence", "sampler", "verdicts")
GROUPS = tuple(MEASURES)
OWN = ("affinity-imbalance", "affinity-noise", "ssp-cifar", "pseudo-cifar")
"""Tables of other papers than BalanceMix's, by the names of their files."""
DEFAULT_SEEDS = (0, 1, 2)
_KEYS = ("title", "about", "groups", "mean", "seeds", "set", "settings", "rows", "paper", "analysis", "warmup")
_ROW_KEYS = ("set", "only")
_PAPER_KEYS = ("table", "data")


@dataclass(frozen=True)
class Row:
    """A row of a table: edits of params.yaml, and the settings that it is run in."""

    name: str
    edits: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table before it is run.

    settings: the edits of each column by its name. groups: whose mAP, or which other of MEASURES, is shown. mean: a
    last column shows the mean over all settings. edits: of every cell. paper: the number of the paper's table with the
    same names, None for no such. data: the data sets of that table, the first one being shown beside data of any other
    kind. analysis: what is drawn from the cells instead of their mAP (bmix/ablation/analyses). warmup: the warm-up of
    every cell as a share of its epochs; None leaves it as params.yaml has it.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    settings: dict[str, tuple[str, ...]]
    groups: tuple[str, ...] = ("all",)
    mean: bool = False
    seeds: tuple[int, ...] = DEFAULT_SEEDS
    edits: tuple[str, ...] = ()
    paper: str | None = None
    data: tuple[str, ...] = ()
    analysis: str | None = None
    warmup: float | None = None


def table_names() -> list[str]:
    """The paper's tables that can be run, in its order."""
    return sorted((path.stem for path in TABLES.glob("[0-9]*.yaml")), key=int)


def paper_table(name: str) -> Grid:
    """A table of the paper by its number, or an analysis by its name, e.g. `figure-6`."""
    prefix = "table-" if name.isdigit() or name in OWN else ""
    return read_grid(TABLES / f"{name}.yaml", f"{prefix}{name}")


def read_grid(path: Path, name: str | None = None) -> Grid:
    """A grid file; InputError names the key, what is wrong with it, and an example."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise _refused(path, "holds no keys", "the keys rows and settings")
    _refuse_unknown(path, content, _KEYS)
    settings = {name: _edits(path, f"settings, {name}", given) for name, given in _named(path, content, "settings")}
    rows = tuple(_row(path, name, given, settings) for name, given in _named(path, content, "rows"))
    groups = _list(path, "groups", content.get("groups", ["all"]), str)
    if not groups or (unknown := [group for group in groups if group not in GROUPS]):
        raise _refused(path, f"groups are {unknown if groups else 'none'}", f"some of {', '.join(GROUPS)}")
    seeds = _list(path, "seeds", content.get("seeds", list(DEFAULT_SEEDS)), int)
    if not seeds or any(seed < 0 for seed in seeds):
        raise _refused(path, f"seeds are {list(seeds)}", "whole numbers from 0 on, e.g. [0, 1, 2]")
    mean = content.get("mean", False)
    if not isinstance(mean, bool):
        raise _refused(path, f"mean is {mean!r}", "true or false")
    paper = content.get("paper", {})
    if not isinstance(paper, dict):
        raise _refused(path, f"paper is {paper!r}", "the keys table and data")
    _refuse_unknown(path, paper, _PAPER_KEYS)
    analysis, warmup = content.get("analysis"), content.get("warmup")
    if analysis is not None and analysis not in ANALYSES:
        raise _refused(path, f"analysis is {analysis!r}", f"one of {', '.join(ANALYSES)}")
    if warmup is not None and not (isinstance(warmup, float) and 0 < warmup <= 1):
        raise _refused(path, f"warmup is {warmup!r}", "a share of the epochs, above 0 and at most 1, e.g. 0.4")
    return Grid(
        name=name or path.stem,
        title=str(content.get("title", name or path.stem)),
        about=str(content.get("about", "")).strip(),
        rows=rows,
        settings=settings,
        groups=tuple(dict.fromkeys(groups)),
        mean=mean,
        seeds=tuple(dict.fromkeys(seeds)),
        edits=_edits(path, "set", content.get("set", [])),
        paper=str(paper["table"]) if "table" in paper else None,
        data=_list(path, "paper, data", paper.get("data", []), str),
        analysis=analysis,
        warmup=warmup,
    )


def _row(path: Path, name: str, given: Any, settings: dict[str, tuple[str, ...]]) -> Row:
    if isinstance(given, dict):
        _refuse_unknown(path, given, _ROW_KEYS)
        only = _list(path, f"rows, {name}, only", given.get("only", list(settings)), str)
        for setting in only:
            if setting not in settings:
                hint = nearest(setting, settings)
                raise _refused(path, f"row {name} is only of {setting}", f"settings: {', '.join(settings)}", hint)
        return Row(name, _edits(path, f"rows, {name}", given.get("set", [])), only)
    return Row(name, _edits(path, f"rows, {name}", given), tuple(settings))


def _named(path: Path, content: dict[str, Any], key: str) -> list[tuple[str, Any]]:
    given = content.get(key)
    if not isinstance(given, dict) or not given:
        found = f"{key} {'is missing' if given is None else f'is {given!r}'}"
        raise _refused(path, found, f"names with their edits below {key}, e.g. mixup: [training.recipe=mixup]")
    return [(str(name), value) for name, value in given.items()]


def _edits(path: Path, where: str, given: Any) -> tuple[str, ...]:
    return _list(path, where, [] if given is None else given, str)


def _list(path: Path, where: str, given: Any, kind: type) -> tuple[Any, ...]:
    if not isinstance(given, list) or not all(type(part) is kind for part in given):
        what = "edits as of --set, e.g. [training.recipe=mixup, method.alpha=2.0]" if kind is str else "numbers"
        raise _refused(path, f"{where} is {given!r}", f"a list of {what}")
    return tuple(given)


def _refuse_unknown(path: Path, content: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in content:
        if key not in known:
            raise _refused(path, f"unknown key {key}", f"keys: {', '.join(known)}", nearest(str(key), known))


def _refused(path: Path, found: str, expected: str, hint: str = "") -> InputError:
    return InputError(str(path), found, expected, f"correct the grid file (docs/ablation.md shows one).{hint}")
