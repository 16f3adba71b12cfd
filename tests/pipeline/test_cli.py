from __future__ import annotations

import csv
import json
import math
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bmix.pipeline import repro
from bmix.pipeline.repro import PipelineError, Progress, reproduce, shown_command, stop_running
from bmix.pipeline.table import read_measures, render, summarise, where_to_look, write_csv_table
from bmix.support.errors import InputError
from bmix.workspace.pipeline_file import stage_names
from tests.helpers.projects import make_project, run
from tests.helpers.tiny import REPOSITORY

METRICS = {
    "mAP": {"all": 0.5, "many": 0.75, "medium": 0.5, "few": None},
    "test-balanced": {"all": 0.4, "many": 0.6, "medium": 0.4, "few": None},
    "detection": {"precision": 0.7, "recall": 0.8},
    "repair": {"repaired": 0.6, "broken": 0.01},
}
LISTED = """\
%                result
--------------  -------
mAP all            50.0
mAP many           75.0
mAP medium         50.0
mAP few               –
mAP test-balanced  40.0
noise found        80.0
noise repaired     60.0
"""


def write_metrics(folder: Path, **changes: object) -> Path:
    (folder / "metrics.json").write_text(json.dumps(METRICS | changes))
    return folder


def test_the_table_shows_every_measure_and_a_dash_for_what_does_not_exist(tmp_path: Path) -> None:
    table = render({"result": [read_measures(write_metrics(tmp_path))]})
    assert [line.split() for line in table.splitlines()[2:]] == [line.split() for line in LISTED.splitlines()[2:]]
    assert len({len(line) for line in table.splitlines()}) == 1


def test_a_recipe_without_verdicts_has_no_share_of_found_noise(tmp_path: Path) -> None:
    measures = read_measures(write_metrics(tmp_path, detection=None, repair=None))
    assert measures["noise found"] is None
    assert measures["noise repaired"] is None


def test_no_result_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json: no such file\n.*\n.*run `make repro` first"):
        read_measures(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"mAP": {}}', '{"mAP": 1}', "\x80"])
def test_a_damaged_result_says_how_to_have_it_back(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"metrics\.json: is damaged\n.*\n.*dvc checkout --force metrics\.json --cd "):
        read_measures(tmp_path)


def test_a_measure_that_is_no_number_is_damage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is damaged"):
        read_measures(write_metrics(tmp_path, mAP={"all": "x", "many": None, "medium": None, "few": None}))


def test_mean_and_standard_error_are_those_of_the_textbook() -> None:
    values = [0.5, 0.6, 0.8]
    mean, error = summarise([{"mAP all": value} for value in values])["mAP all"]
    expected = sum(values) / 3
    deviation = math.sqrt(sum((value - expected) ** 2 for value in values) / 2)
    assert mean == pytest.approx(expected)
    assert error == pytest.approx(deviation / math.sqrt(3))
    assert summarise([{"mAP all": 0.5}])["mAP all"] == (0.5, None)
    assert summarise([{"mAP all": 0.5}, {"mAP all": None}])["mAP all"] == (None, None)
    assert "63.3 ± 8.8" in render({"bce": [{"mAP all": value} for value in values]})


def test_the_csv_holds_means_and_errors_exactly(tmp_path: Path) -> None:
    columns = {"bce": [{"mAP all": 0.1}, {"mAP all": 0.2}], "mixup": [{"mAP all": 0.3}, {"mAP all": None}]}
    write_csv_table(tmp_path / "table.csv", columns)
    with (tmp_path / "table.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["run"], first["runs"], first["measure"]) == ("bce", "2", "mAP all")
    assert float(first["mean"]) == pytest.approx(0.15)
    assert float(first["standard_error"]) == pytest.approx(0.05)
    assert (second["run"], second["mean"], second["standard_error"]) == ("mixup", "", "")


def test_where_to_look_names_the_record(tmp_path: Path) -> None:
    local = where_to_look(Path(), f"sqlite:///{tmp_path}/my runs/it's/mlflow.db")
    last = shlex.split(local.splitlines()[-1])
    assert last[-4:] == ["--host", "127.0.0.1", "--backend-store-uri", f"sqlite:///{tmp_path}/my runs/it's/mlflow.db"]
    assert "report  report.html" in local
    served = where_to_look(Path(".bmix/runs/x"), "http://tracking:5000")
    assert "record  http://tracking:5000" in served
    assert "plots show --cd .bmix/runs/x" in served
    assert "plots show --cd '.bmix/runs/a b'" in where_to_look(Path(".bmix/runs/a b"), "http://tracking:5000")


def test_commands_are_shown_as_they_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("PATH", os.defpath)
    assert shown_command("dvc", "checkout") == f"{folder.name}/dvc checkout"
    monkeypatch.setenv("PATH", str(folder))
    assert shown_command("dvc", "checkout", Path("a/b")) == "dvc checkout --cd a/b"


def test_dvcs_lines_tell_the_state_of_every_stage() -> None:
    progress = Progress()
    for line in [
        "Stage 'prepare' didn't change, skipping",
        "Stage 'noise' is cached - skipping run, checking out outputs",
        "Running stage 'warmup':",
        "> python -m stages.warmup",
        "Stage of the art: Running stage 'train':",
        "ERROR: failed to reproduce 'warmup': failed to run: python -m stages.warmup, exited with 1",
    ]:
        progress.read(line)
    assert progress.states == {"prepare": "cached", "noise": "restored", "warmup": "ran"}
    assert progress.at_work == "stage warmup"
    assert progress.failed == "warmup"
    assert progress.reason == "failed to run: python -m stages.warmup, exited with 1"


def fake_dvc(folder: Path, code: str) -> Path:
    """A folder in which `python -m dvc` runs this code."""
    (folder / "dvc.py").write_text(f"import os\nfrom pathlib import Path\n{code}\n")
    return folder


def test_a_dvc_that_was_killed_is_told_by_the_signal(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="dvc was ended by SIGKILL") as caught:
        reproduce(fake_dvc(tmp_path, "os.kill(os.getpid(), 9)"), tell=lambda line: None)
    assert not caught.value.retry


def test_a_lock_that_killed_processes_still_hold_is_tried_again(tmp_path: Path) -> None:
    busy = """
tried = Path("tried")
if not tried.exists():
    tried.touch()
    raise SystemExit("ERROR: Unable to acquire lock")
print("Running stage 'noise':")
"""
    assert reproduce(fake_dvc(tmp_path, busy), tell=lambda line: None) == {"noise": "ran"}


def test_a_dvc_that_falls_silent_is_ended(tmp_path: Path) -> None:
    silent = fake_dvc(tmp_path, "import time\ntime.sleep(1800)")
    with pytest.raises(PipelineError, match="no line from dvc for 1 s, so that it was ended in ") as caught:
        reproduce(silent, silence=1)
    assert not caught.value.retry
    assert reproduce(fake_dvc(tmp_path, """print("Running stage 'noise':")"""), silence=1800) == {"noise": "ran"}


def test_what_is_stopped_for_good_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = """
with Path("starts").open("a") as starts:
    starts.write("x")
Path(".dvc/tmp").mkdir(parents=True, exist_ok=True)
Path(".dvc/tmp/rwlock").write_text("")
print("at work", flush=True)
import time
time.sleep(1800)
"""
    monkeypatch.setattr(repro, "_stopping", threading.Event())
    with pytest.raises(PipelineError):
        # As the main thread of a flow does while this one waits for DVC.
        reproduce(fake_dvc(tmp_path, at_work), tell=lambda line: stop_running() if line == "at work" else None)
    assert (tmp_path / "starts").read_text() == "x"
    with pytest.raises(PipelineError, match="no stage is started any more"):
        reproduce(tmp_path, tell=lambda line: None)
    assert (tmp_path / "starts").read_text() == "x"


@pytest.mark.slow
def test_outside_of_a_project_the_command_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="fix: run the command in the clone of the project"):
        reproduce(tmp_path, tell=lambda line: None)


def test_the_stages_are_those_of_the_pipeline_in_order() -> None:
    names = ["prepare", "noise", "audit", "pretrain", "warmup", "pseudo", "train", "evaluate", "publish"]
    assert stage_names(REPOSITORY / "dvc.yaml") == names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["repro", "--set", "noise.rat=0.2"], "unknown key noise.rat\n  expected: key=value with a dotted key"),
        (["repro", "--set", "noise.rate=1.2"], "params.yaml --set noise.rate=1.2: noise.rate is 1.2"),
        (["check", "--set", "data.path=none.yaml"], "none.yaml"),
        (["check", "--set", "model.weights=imagenett"], "imagenett is not a file"),
        (["repro", "--set", "model.weights=imagenet"], "the backbone small was never trained on ImageNet"),
        (["table"], "metrics.json: no such file"),
        (
            ["compare", "--recipes", "bmix"],
            "--recipes: bmix is none of them\n  expected: RECIPE..., one or more of asl",
        ),
        (["compare", "--seeds", "-1"], "--seeds: -1 is not a whole number from 0 on"),
        (["compare", "--jobs", "0"], "--jobs: 0 is not a whole number from 1 on"),
        (["compare", "--output", "data"], "--output: data is a folder"),
        (["compare", "--output", "params.yaml/table.csv"], "is not a folder that may be written to"),
        (["compare", "--seeds", "0", "--set", "noise.rate=2"], "noise.rate is 2"),
    ],
)
def test_bad_arguments_end_with_status_2_and_a_message_without_a_traceback(
    project: Path, arguments: list[str], told: str
) -> None:
    ended = run(project, "-m", "bmix", *arguments)
    assert ended.returncode == 2
    assert told in ended.stdout
    assert "Traceback" not in ended.stdout
    assert not (project / ".bmix" / "runs").exists()


@pytest.mark.slow
def test_what_the_system_refuses_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").mkdir()
    ended = run(tmp_path, "-m", "bmix", "table", PYTHONPATH=str(REPOSITORY))
    assert (ended.returncode, ended.stdout) == (1, "error: metrics.json: Is a directory\n")


FULL = """
import resource, sys
from pathlib import Path
from bmix.support import console
from bmix.support.files import replaced_folder, write_text

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

def write():
    with replaced_folder(Path("made")) as folder:
        (folder / "small").touch()
        write_text(folder / "large", "x" * 5000)

console.run(write)
"""


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    ended = run(tmp_path, "-c", FULL, PYTHONPATH=str(REPOSITORY))
    assert ended.returncode == 1
    assert re.fullmatch(r"error: \.?made\S*/large: File too large\n  expected: room on the disk.*\n", ended.stdout)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_went_away_ends_a_command_without_a_word(tmp_path: Path) -> None:
    code = "from bmix.support import console; console.run(lambda: print('x' * 100_000))"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.slow
def test_good_input_is_told_to_be_good(project: Path) -> None:
    ended = run(project, "-m", "bmix", "check", "--set", "noise.rate=0.1")
    assert ended.returncode == 0
    assert ended.stdout.endswith("\nparams and data are fit for use\n")


@pytest.mark.slow
def test_reading_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, bmix.cli.app, bmix.pipeline.projects, bmix.pipeline.table, typer.main; "
        "typer.main.get_command(bmix.cli.app.app); "
    )
    heavy = "print(sorted({'torch', 'pandas', 'mlflow', 'prefect', 'dvc', 'sklearn', 'rich'} & set(sys.modules)))"
    assert run(REPOSITORY, "-c", code + heavy).stdout == "[]\n"


def test_make_refuses_an_old_python_with_its_version(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    ended = subprocess.run(["make", "repro", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode != 0
    assert f"error: {old} is Python 3.9.2, bmix needs Python 3.11 or newer" in ended.stderr
    ended = subprocess.run(["make", "repro", "PYTHON=no-python"], cwd=tmp_path, capture_output=True, text=True)
    assert "error: no no-python found" in ended.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("cli") / "project")
