"""docs/architecture.md draws the rooms and lists what passes between the stages; this holds the code to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.tiny import REPOSITORY

PAGE = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
GROUND_FLOOR = {"support", "workspace", "randomness", "arrays", "torchvision_import"}
FACE = {"", "__init__", "__main__"}
"""bmix/__init__.py hands on names of the rooms, and bmix/__main__.py runs the command."""


def arrows() -> dict[str, set[str]]:
    """The rooms of the picture, each with those that its arrows lead to."""
    drawn: dict[str, set[str]] = {}
    for line in PAGE.partition("flowchart TB\n")[2].partition("```")[0].splitlines():
        above, below = (re.split(r"\s*&\s*", side.strip()) for side in line.split("-->"))
        for room in above:
            drawn.setdefault(room, set()).update(below)
        for room in below:
            drawn.setdefault(room, set())
    return drawn


def below(room: str, drawn: dict[str, set[str]]) -> set[str]:
    """All rooms that the arrows lead to from one; RecursionError if they lead back to it."""
    return drawn[room].union(*(below(other, drawn) for other in drawn[room]))


def room_of(module: str) -> str:
    """`bmix.data.images` is in data, `stages.train` in stages."""
    parts = module.split(".")
    return parts[0] if parts[0] != "bmix" else (parts[1] if len(parts) > 1 else "")


def imports() -> Iterator[tuple[Path, str, str]]:
    """File, its room and a room that it imports from, at any place but for types alone."""
    for top in ("bmix", "stages", "flows"):
        for path in sorted((REPOSITORY / top).rglob("*.py")):
            file = path.relative_to(REPOSITORY)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            typing = [
                node
                for branch in ast.walk(tree)
                if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
                for node in ast.walk(branch)
            ]
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module and node not in typing:
                    modules = [f"bmix.{name.name}" for name in node.names] if node.module == "bmix" else [node.module]
                    for module in modules:
                        if module.split(".")[0] in ("bmix", "stages", "flows"):
                            yield file, room_of(".".join(file.with_suffix("").parts)), room_of(module)


def test_imports_follow_the_arrows_of_the_picture() -> None:
    drawn = arrows()
    allowed = {room: below(room, drawn) | GROUND_FLOOR | FACE | {room} for room in drawn}
    allowed |= dict.fromkeys(GROUND_FLOOR, GROUND_FLOOR | FACE)
    rooms = {
        path.stem for path in (REPOSITORY / "bmix").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    unknown = {
        (str(file), room, other)
        for file, room, other in imports()
        if room not in FACE and other in rooms | {"stages", "flows"} and other not in allowed.get(room, set())
    }
    assert not unknown, "imports that the picture in docs/architecture.md does not show"


def test_every_room_is_in_the_table_and_every_room_of_the_table_is_there() -> None:
    rooms = {f"bmix/{path.name}/" for path in (REPOSITORY / "bmix").iterdir() if (path / "__init__.py").exists()}
    table = PAGE.partition("| room |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(bmix/\w+/)`", table, re.MULTILINE)) == rooms


@pytest.mark.pipeline
def test_the_contracts_name_every_column_and_file(finished_project: Path) -> None:
    contracts = PAGE.partition("## Contracts between stages")[2]
    for name in ("data/prepared/manifest.parquet", "data/noisy/labels.parquet", "verdicts.parquet", "mixtures.parquet"):
        assert Path(name).name in contracts
        for column in pd.read_parquet(finished_project / name).columns:
            assert f"`{column}`" in contracts, f"{name}: {column}"
    for name in ("history.csv", "sampler.csv"):
        for column in pd.read_csv(finished_project / name).columns:
            assert f"`{column}`" in contracts or column.endswith("_positives"), f"{name}: {column}"
    for folder in ("data/prepared", "data/noisy", "models/warmup", "models/final"):
        for path in (finished_project / folder).iterdir():
            assert f"`{path.name}" in contracts, path
