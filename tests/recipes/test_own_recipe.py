"""The walk-through in docs/recipes.md: the documented file and line, run by the documented command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.projects import copy_project, run
from tests.helpers.tiny import REPOSITORY

DOCUMENT = (REPOSITORY / "docs/recipes.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block of code of this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.pipeline
@pytest.mark.parametrize(
    "recipes", [["my-focal"], pytest.param(["mixup", "my-focal"], marks=pytest.mark.exhaustive)], ids=" ".join
)
def test_a_file_and_a_line_give_a_column_in_the_table(
    recipes: list[str], finished_project: Path, tmp_path: Path
) -> None:
    project = copy_project(finished_project, tmp_path / "project")
    (project / "bmix/recipes/my_focal.py").write_text(block("python"), encoding="utf-8")
    params = (project / "params.yaml").read_text(encoding="utf-8")
    with_line = params.replace("recipes:\n", f"recipes:\n{block('yaml')}")
    (project / "params.yaml").write_text(with_line, encoding="utf-8")
    documented = block("sh").splitlines()[0]
    assert documented == "bmix compare --recipes mixup my-focal"
    ended = run(project, "-m", *documented.split()[:3], *recipes)
    assert ended.returncode == 0, ended.stdout
    (title,) = re.findall(r"^%.*$", ended.stdout, flags=re.MULTILINE)
    assert title.split() == ["%", *recipes]
    (row,) = re.findall(r"^mAP all .*$", ended.stdout, flags=re.MULTILINE)
    *others, my_focal = (float(value) for value in row.split()[2:])
    assert 0 < my_focal < 100
    assert my_focal not in others
