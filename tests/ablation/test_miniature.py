"""A miniature grid through the real command: shared warm-ups, a hole, a kill half-way, and nothing run twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.projects import ENVIRONMENT, HANG_SECONDS, copy_project, run

GRID: dict[str, Any] = {
    "title": "Miniature",
    "settings": {"as given": [], "clean": ["clean"]},
    "rows": {
        "without ambiguous": {"set": ["method.ambiguous=false"], "only": ["as given"]},
        "lower threshold": {"set": ["method.epsilon=0.9"], "only": ["as given"]},
        "oracle": {"set": ["training.recipe=oracle"], "only": ["clean"]},
    },
    "seeds": [0],
}
SMALLER = GRID | {"rows": {"without ambiguous": GRID["rows"]["without ambiguous"]}}
COMMAND = ["-m", "flows.ablation", "--grid", "mine.yaml", "--set", "method.alpha=2.0"]


@pytest.fixture(scope="module")
def project(finished_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(finished_project, tmp_path_factory.mktemp("grid") / "project")
    for name, grid in (("mine", GRID), ("smaller", SMALLER)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    return folder


def running(project: Path, stage: str) -> list[str]:
    return [str(path) for path in (project / ".bmix/runs").glob(f"*/.bmix/timings/{stage}.json")]


def wait_until(condition: object, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, "the command has ended"
        assert time.monotonic() - started < HANG_SECONDS
        time.sleep(0.2)


@pytest.mark.pipeline
@pytest.mark.exhaustive
def test_a_killed_table_goes_on_and_repeats_no_finished_cell(project: Path) -> None:
    assert "3 cells, 0 finished, 3 to run" in run(project, *COMMAND, "--dry-run").stdout
    killed = subprocess.Popen(
        [sys.executable, *COMMAND],
        cwd=project,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: list((project / ".bmix/runs").glob("*/.bmix/cell.json")), killed)
    # With Prefect's temporary server, which would stay.
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    first = next((project / ".bmix/runs").glob("*/.bmix/cell.json"))
    before = {path: path.stat().st_mtime_ns for path in first.parent.glob("timings/*.json")}
    assert "3 cells, 1 finished, 2 to run, about" in run(project, *COMMAND, "--dry-run").stdout

    ended = run(project, *COMMAND)
    # Of three cells the oracle has no truth to learn from; the others have gone on.
    assert ended.returncode == 1, ended.stdout
    assert (
        "error: oracle · clean · seed 0: params.yaml, training.recipe: oracle trains on the true labels" in ended.stdout
    )
    assert {path: path.stat().st_mtime_ns for path in first.parent.glob("timings/*.json")} == before
    marks = list((project / ".bmix/runs").glob("*/.bmix/cell.json"))
    assert len(marks) == 2
    # They differ after the warm-up alone: the second finds that of the first.
    assert (first.parent / "timings/warmup.json").exists()
    second = next(mark for mark in marks if mark != first)
    assert not (second.parent / "timings/warmup.json").exists()
    assert (second.parent / "timings/train.json").exists()
    page = (project / "results/mine/mine.md").read_text(encoding="utf-8")
    assert re.search(r"\| lower threshold \| \d+\.\d \| – \|", page)
    assert "oracle trains on the true labels" in page
    for name in ("mine.csv", "mine-cells.csv", "mine.png", "mine.svg"):
        assert (project / "results/mine" / name).stat().st_size > 100


@pytest.mark.pipeline
def test_an_unchanged_table_starts_nothing(project: Path) -> None:
    command = [argument.replace("mine", "smaller") for argument in COMMAND]
    run(project, *command)
    before = {path: path.stat().st_mtime_ns for path in (project / ".bmix/runs").rglob("*") if path.is_file()}
    ended = run(project, *command)
    assert ended.returncode == 0, ended.stdout
    assert "1 cell, 1 finished, 0 to run" in ended.stdout
    assert "page    results/smaller/smaller.md" in ended.stdout
    assert "Running stage" not in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in (project / ".bmix/runs").rglob("*") if path.is_file()} == before


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "it is not said which table"),
        pytest.param(*(["--table", "6"], "6 is none of them"), marks=pytest.mark.exhaustive),
        pytest.param(*(["--grid", "none.yaml"], "none.yaml: no such file"), marks=pytest.mark.exhaustive),
        pytest.param(
            *(["--table", "5", "--quick", "--data", "paper-voc"], "--quick: --data paper-voc is given too"),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            *(["--table", "5", "--output", "models"], "is, holds or lies in models/warmup"),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            *(["--table", "5", "--data", "birds"], "neither key=value nor a preset"), marks=pytest.mark.exhaustive
        ),
    ],
)
def test_wrong_arguments_are_refused(project: Path, arguments: list[str], told: str) -> None:
    ended = run(project, "-m", "flows.ablation", *arguments, "--dry-run")
    assert ended.returncode == 2, ended.stdout
    assert told in ended.stdout
