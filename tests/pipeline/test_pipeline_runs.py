"""What DVC runs, skips and restores, by the real commands on a tiny project."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bmix.pipeline.repro import PipelineError, Progress, reproduce
from tests.helpers.projects import ENVIRONMENT, copy_project, edit_params, failing_stage, run
from tests.helpers.tiny import read_written

pytestmark = pytest.mark.pipeline

ALL = {"prepare", "noise", "audit", "pretrain", "warmup", "pseudo", "train", "evaluate"}


@pytest.fixture
def project(finished_project: Path, tmp_path: Path) -> Path:
    return copy_project(finished_project, tmp_path / "project")


def states(project: Path, *arguments: str, status: int = 0) -> dict[str, set[str]]:
    """The stages by state after `python -m bmix repro`, but for publish, which always looks at its record."""
    ended = run(project, "-m", "bmix", "repro", *arguments)
    assert ended.returncode == status, ended.stdout
    progress = Progress()
    for line in ended.stdout.splitlines():
        progress.read(line)
    by_state: dict[str, set[str]] = {"ran": set(), "cached": set(), "restored": set()}
    for stage, state in progress.states.items():
        by_state[state].add(stage)
    by_state["ran"].discard("publish")
    return by_state


def test_a_change_runs_what_it_touches_and_going_back_restores(project: Path) -> None:
    before = read_written(project / "models/final") | {"metrics": (project / "metrics.json").read_bytes()}
    assert states(project)["cached"] == ALL
    edit_params(project, "method.epsilon=0.6")
    assert states(project)["ran"] == {"train", "evaluate"}
    assert before != read_written(project / "models/final") | {"metrics": (project / "metrics.json").read_bytes()}
    edit_params(project)
    again = states(project)
    assert again["ran"] == set()
    assert again["restored"] == {"train", "evaluate"}
    assert before == read_written(project / "models/final") | {"metrics": (project / "metrics.json").read_bytes()}


@pytest.mark.exhaustive
def test_other_noise_runs_what_reads_labels(project: Path) -> None:
    edit_params(project, "noise.rate=0.2")
    assert states(project)["ran"] == {"noise", "audit", "warmup", "pseudo", "train", "evaluate"}
    edit_params(project)
    assert states(project)["restored"] == {"noise", "audit", "warmup", "pseudo", "train", "evaluate"}


@pytest.mark.exhaustive
def test_measuring_and_showing_rerun_no_training(project: Path) -> None:
    edit_params(project, "evaluate.curve_points=50")
    assert states(project)["ran"] == {"evaluate"}
    edit_params(project, "evaluate.medium=10")
    assert states(project)["ran"] == {"prepare", "evaluate"}


@pytest.mark.exhaustive
def test_an_edited_input_reruns_prepare_and_what_reads_its_change(project: Path) -> None:
    recipe = project / "data/digits/scenes.yaml"
    recipe.write_text(f"# A remark changes no scene.\n{recipe.read_text()}")
    assert states(project)["ran"] == {"prepare"}


@pytest.mark.exhaustive
def test_edits_by_option_run_in_a_copy_that_shares_the_cache(project: Path) -> None:
    before = {name: (project / name).read_bytes() for name in ("params.yaml", "dvc.lock", "metrics.json")}
    first = states(project, "--set", "training.recipe=bce")
    assert (first["restored"], first["ran"]) == (
        {"prepare", "noise", "audit", "pretrain"},
        {"warmup", "pseudo", "train", "evaluate"},
    )
    assert states(project, "--set", "training.recipe=bce")["cached"] == ALL
    assert {name: (project / name).read_bytes() for name in before} == before
    table = project / "table.csv"
    two = ["--recipes", "bce", "balancemix", "--jobs", "2"]
    ended = run(project, "-m", "bmix", "compare", *two, "--output", str(table))
    assert ended.returncode == 0, ended.stdout
    assert "[balancemix] Stage 'train' is cached - skipping run" in ended.stdout
    assert "[bce] Stage 'train' didn't change, skipping" in ended.stdout
    with table.open() as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"bce", "balancemix"}
    again = run(project, "-m", "bmix", "compare", *two)
    assert again.returncode == 0, again.stdout
    assert "bce is finished in .bmix/runs/" in again.stdout
    assert "Stage" not in again.stdout


@pytest.mark.exhaustive
def test_the_method_keys_that_warm_up_does_not_list_change_nothing_in_it(project: Path) -> None:
    others = ["epsilon=0.6", "trust_positives=true", "ambiguous=false"]
    before = read_written(project / "models/warmup")
    edit_params(project, *(f"method.{other}" for other in others))
    ended = run(project, "-m", "stages.warmup")
    assert ended.returncode == 0, ended.stdout
    assert read_written(project / "models/warmup") == before
    listed = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]["warmup"]["params"]
    assert not {f"method.{other.split('=')[0]}" for other in others} & set(listed)


def test_a_failed_stage_says_why_and_how_to_have_the_last_state_back(project: Path) -> None:
    labels = (project / "data/noisy/labels.parquet").read_bytes()
    (project / "stages/noise.py").write_text(failing_stage("noise", "raise OSError('no space left')"))
    ended = run(project, "-m", "bmix", "repro")
    assert ended.returncode == 1
    assert "error: stage noise failed: OSError: no space left" in ended.stdout
    assert "dvc checkout" in ended.stdout
    assert not (project / "data/noisy").exists()
    run(project, "-m", "dvc", "checkout")
    assert (project / "data/noisy/labels.parquet").read_bytes() == labels


@pytest.mark.exhaustive
def test_a_second_run_at_the_same_time_is_told_to_wait_and_an_interrupt_stops_the_stage(project: Path) -> None:
    (project / "stages/noise.py").write_text(
        "import os, time\nfrom pathlib import Path\nPath('.bmix/pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    pid_file = project / ".bmix/pid"
    (project / ".bmix").mkdir()
    first = subprocess.Popen([sys.executable, "-m", "bmix", "repro"], cwd=project, env={**os.environ, **ENVIRONMENT})
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text() != "")
        with pytest.raises(PipelineError, match="another run of this pipeline is at work") as caught:
            reproduce(project, "noise", tell=lambda line: None)
        assert caught.value.retry
    finally:
        first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 143
    wait_for(lambda: not is_running(int(pid_file.read_text())))


@pytest.mark.exhaustive
def test_a_project_without_git_says_how_to_do_without(project: Path) -> None:
    config = project / ".dvc/config"
    config.write_text(config.read_text().replace("no_scm = true", "no_scm = false"))
    ended = run(project, "-m", "bmix", "repro")
    assert ended.returncode == 1
    assert "is not a git repository" in ended.stdout
    assert "dvc config --local core.no_scm true" in ended.stdout
    assert run(project, "-m", "dvc", "config", "--local", "core.no_scm", "true").returncode == 0
    assert states(project)["cached"] == ALL


def wait_for(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True


def test_dvc_shows_metrics_and_plots(project: Path) -> None:
    shown = run(project, "-m", "dvc", "metrics", "show")
    assert shown.returncode == 0, shown.stdout
    assert "mAP.all" in shown.stdout
    shown = run(project, "-m", "dvc", "plots", "show", "--json")
    assert shown.returncode == 0, shown.stdout
    for plot in ("loss", "validation_map", "verdicts", "verdicts_of_positives", "sampler", "precision_recall"):
        assert f'"{plot}"' in shown.stdout
    assert '"error"' not in shown.stdout
    # Vega draws an empty cell as 0, and leaves nan out.
    assert ",," not in (project / "history.csv").read_text(encoding="utf-8")


@pytest.mark.exhaustive
def test_a_run_that_is_all_warm_up_writes_every_output(project: Path) -> None:
    edit_params(project, "training.epochs=2", "training.warmup_epochs=2")
    assert states(project)["ran"] == {"warmup", "train", "evaluate"}
    history = (project / "history.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:2] for line in history[1:]] == [["1", "warmup"], ["2", "warmup"]]
    assert not list((project / ".bmix/checkpoints").glob("*/finished"))
    assert states(project)["cached"] == ALL
