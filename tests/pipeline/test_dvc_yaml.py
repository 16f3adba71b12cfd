"""What dvc.yaml lists is held to what the stages read: params, code, files."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from bmix.params import known_keys
from bmix.pipeline.copies import CODE_FILES
from bmix.workspace.pipeline_file import stage_names

REPOSITORY = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = PIPELINE["stages"]

# They check, word, write and record, and decide no result; dvc.yaml says so at its head.
NO_DEPENDENCY = {"bmix/__init__.py"}
NO_DEPENDENCY_FOLDERS = ("bmix/params/", "bmix/support/", "bmix/workspace/", "bmix/tracking/", "bmix/pipeline/")


def is_left_out(path: str) -> bool:
    return path in NO_DEPENDENCY or path.startswith(NO_DEPENDENCY_FOLDERS)


def module_file(name: str) -> str | None:
    base = REPOSITORY / name.replace(".", "/")
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return str(path.relative_to(REPOSITORY))
    return None


def imported_files(path: str) -> set[str]:
    """The project's files that one file imports at any depth of its code, but not for type checking alone."""
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("bmix."):
            # A registry imports by name, when it is asked.
            names.add(node.value)
    if path == "bmix/recipes/__init__.py":
        names |= {f"bmix.recipes.{file.stem}" for file in (REPOSITORY / "bmix/recipes").glob("[a-z]*.py")}
    parents = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, len(name.split(".")))}
    return {file for name in names | parents if (file := module_file(name))}


def code_of(stage: str) -> set[str]:
    """Every file of the project that a stage runs, but those that decide no result and those that hold no code."""
    found: set[str] = set()
    waiting = [f"stages/{stage}.py"]
    while waiting:
        path = waiting.pop()
        if path in found or is_left_out(path):
            continue
        found.add(path)
        waiting += imported_files(path)
    return {path for path in found if ast.parse((REPOSITORY / path).read_text(encoding="utf-8")).body[1:]}


def files_of(dependency: str) -> set[str]:
    path = REPOSITORY / dependency
    files = path.rglob("*.py") if path.is_dir() else [path]
    return {str(file.relative_to(REPOSITORY)) for file in files}


def code_dependencies(stage: str) -> list[str]:
    return [dep for dep in STAGES[stage]["deps"] if dep.startswith(("bmix", "stages"))]


def file_dependencies(stage: str) -> list[str]:
    return [dep for dep in STAGES[stage]["deps"] if not dep.startswith(("bmix", "stages", "${"))]


def test_the_params_of_all_stages_are_the_keys_of_params_yaml() -> None:
    listed = {key for stage in STAGES.values() for key in stage.get("params", [])}
    # What becomes of a run's model is no stage's to decide.
    runs = {key for key in known_keys() if not key.startswith("retrain.")}
    assert listed == {*runs, "recipes.${training.recipe}"}


@pytest.mark.parametrize("stage", STAGES)
def test_no_list_names_a_thing_twice(stage: str) -> None:
    for kind in ("deps", "params", "outs"):
        names = STAGES[stage].get(kind, [])
        assert len(names) == len(set(names)), kind


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "publish"])
def test_a_stage_depends_on_the_code_that_it_runs_and_on_no_other(stage: str) -> None:
    listed = {dependency: files_of(dependency) for dependency in code_dependencies(stage)}
    needed = code_of(stage)
    assert sorted(needed - set().union(*listed.values())) == [], "is imported, but not listed"
    assert [name for name, files in listed.items() if not files & needed] == [], "is listed, but nothing in it imported"


def test_files_that_a_stage_depends_on_are_written_by_one_before_it() -> None:
    written: list[str] = []
    for stage in stage_names(REPOSITORY / "dvc.yaml"):
        for dependency in file_dependencies(stage):
            assert any(dependency == out or dependency.startswith(f"{out}/") for out in written), (stage, dependency)
        written += STAGES[stage].get("outs", [])


def test_every_output_is_plain_so_that_the_run_cache_works() -> None:
    for name, stage in STAGES.items():
        assert all(isinstance(out, str) for out in stage.get("outs", [])), name
        assert stage.get("always_changed", False) == (name == "publish")


def test_metrics_and_plots_are_read_from_cached_outputs() -> None:
    outs = [out for stage in STAGES.values() for out in stage.get("outs", [])]
    plotted = {file for plot in PIPELINE["plots"] for settings in plot.values() for file in settings["y"]}
    for file in [*PIPELINE["metrics"], *plotted]:
        assert file in outs or str(Path(file).parent) in outs, file


def test_the_constraints_are_exact_and_fit_the_requirements() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in lines:
        if line.startswith("#"):
            continue
        name, equals, version = line.partition("==")
        assert equals, f"{line} is no exact version"
        assert "+" not in version, f"{line} has a local version part, which other builds do not meet"
        pinned[name.lower().replace("_", "-")] = version
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[requirement.name.lower().replace("_", "-")]), text


def test_every_template_of_a_plot_is_a_file_that_copies_of_the_project_get() -> None:
    templates = {plot["template"] for entry in PIPELINE["plots"] for plot in entry.values() if "template" in plot}
    assert templates
    for name in templates:
        path = f".dvc/plots/{name}.json"
        assert json.loads((REPOSITORY / path).read_text(encoding="utf-8"))["data"]["values"] == "<DVC_METRIC_DATA>"
        assert path in CODE_FILES
