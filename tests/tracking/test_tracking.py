"""The MLflow record: what it holds, that nothing is logged twice, and that no tracking server can hurt a run."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bmix.support.errors import InputError
from bmix.tracking import tables
from bmix.tracking.destination import destination
from bmix.tracking.live import LiveRun
from bmix.tracking.record import read_record, run_name
from bmix.tracking.stamp import STAMP, is_current
from bmix.workspace.pipeline_file import lasting_stages
from bmix.workspace.timings import can_pass_on_second_try, failure_noted, note_epochs, read_timing, stage_timing
from stages import publish
from tests.helpers.tiny import REPOSITORY
from tests.helpers.tracked import EPOCHS, WARMUP_EPOCHS, write_lock, write_project

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DEAD_SERVER = "http://user:secret@127.0.0.1:9"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "BMIX_HOME", "BMIX_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bmix.tracking.destination import Destination
    from bmix.tracking.send import connect

    folder = tmp_path_factory.mktemp("empty")
    connect(Destination(f"sqlite:///{folder}/mlflow.db", "bmix", folder / "mlartifacts"))
    return folder / "mlflow.db"


@pytest.fixture
def recorded(project: Path, empty_database: Path) -> Path:
    shutil.copy(empty_database, project / "mlflow.db")
    return project


def client() -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(destination().uri)


def all_runs() -> list[Run]:
    found = client().get_experiment_by_name(destination().experiment)
    return [] if found is None else list(client().search_runs([found.experiment_id]))


def parents() -> list[Run]:
    return [run for run in all_runs() if "mlflow.parentRunId" not in run.data.tags]


def children() -> dict[str, Run]:
    found = {run.data.tags["bmix.stage"]: run for run in all_runs() if "mlflow.parentRunId" in run.data.tags}
    assert len(found) == len(all_runs()) - len(parents())
    return found


def histories(run: Run) -> dict[str, list[tuple[int, float]]]:
    mlflow = client()
    return {
        key: [(metric.step, metric.value) for metric in mlflow.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }


def artifacts(run: Run, folder: str | None = None) -> set[str]:
    found = client().list_artifacts(run.info.run_id, folder)
    return {path for entry in found for path in (artifacts(run, entry.path) if entry.is_dir else {entry.path})}


def content() -> dict[str, Any]:
    runs = {"parent": parents()[0], **children()}
    return {
        name: (
            run.info.run_name,
            run.info.status,
            run.data.params,
            histories(run),
            artifacts(run),
            run.data.tags["bmix.dvc_state"] if name != "parent" else "",
        )
        for name, run in runs.items()
    }


@pytest.mark.pipeline
def test_record_is_whole_after_one_publish(recorded: Path) -> None:
    publish.main()
    (parent,) = parents()
    assert parent.info.run_name == "balancemix · digits · mislabel 0.4 · seed 0"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["method.trust_positives"] == "false"
    assert parent.data.params["noise.rate"] == "0.4"
    assert parent.data.tags["data.membership.train"] == "0123456789abcdef"
    assert parent.data.metrics["mAP/all"] == 0.7
    assert parent.data.metrics["mAP test-balanced/all"] == 0.66
    assert parent.data.metrics["detection/recall_positives"] == 0.7
    assert "mAP/many" not in parent.data.metrics
    assert artifacts(parent) >= {
        "report.html",
        "metrics.json",
        "labels/verdicts.parquet",
        "labels/verdict_shares.json",
        "labels/classes.json",
        "labels/transition.json",
        "plots/mixtures.png",
        "plots/transition.csv",
    }
    used = [
        (entry.dataset.name, entry.tags[0].value, json.loads(entry.dataset.profile))
        for entry in parent.inputs.dataset_inputs
    ]
    assert sorted((name, context) for name, context, _ in used) == [("digits", "evaluation"), ("digits", "training")]
    assert all(profile["images/train"] == 20 for _, _, profile in used)
    found = children()
    assert set(found) == set(lasting_stages())
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert {run.data.tags["bmix.dvc_state"] for run in found.values()} == {"cached"}
    by_class = {key: value for key, value in found["evaluate"].data.metrics.items() if key.startswith("ap")}
    balanced = {"ap_balanced/ant": 0.75, "ap_balanced/bee": 0.75, "ap_balanced/cat _wild_": 0.75}
    assert by_class == {"ap/ant": 0.5, "ap/bee": 0.25} | balanced
    assert found["noise"].data.metrics == {"rate": 0.4, "measured/overall": 0.39}
    assert found["prepare"].data.metrics["images/train"] == 20


@pytest.mark.pipeline
def test_epochs_are_divided_between_warmup_and_train(recorded: Path) -> None:
    publish.main()
    found = children()
    warm, managed = histories(found["warmup"]), histories(found["train"])
    assert [step for step, _ in warm["train_loss"]] == list(range(1, WARMUP_EPOCHS + 1))
    assert [step for step, _ in managed["sampler/median"]] == list(range(WARMUP_EPOCHS + 1, EPOCHS + 1))
    assert "labels/clean" not in warm
    assert len(managed["given positives/ambiguous"]) == EPOCHS - WARMUP_EPOCHS


@pytest.mark.pipeline
def test_publish_again_logs_nothing_twice_and_a_rerun_replaces_its_child(recorded: Path) -> None:
    publish.main()
    first, first_children = parents()[0], children()
    STAMP.unlink()
    publish.main()
    assert {run.info.run_id for run in all_runs()} == {
        first.info.run_id,
        *(run.info.run_id for run in first_children.values()),
    }

    client().set_tag(first.info.run_id, "mlflow.note.content", "the one in the paper")
    write_project(recorded, finished=75.0)
    write_lock(recorded, evaluate=1)
    publish.main()
    (second,), second_children = parents(), children()
    changed = {
        name for name in lasting_stages() if second_children[name].info.run_id != first_children[name].info.run_id
    }
    assert changed == {"evaluate"}
    assert {run.data.tags["mlflow.parentRunId"] for run in second_children.values()} == {second.info.run_id}
    assert histories(second)["mAP/all"] == [(0, 0.75)]
    assert second.data.tags["mlflow.note.content"] == "the one in the paper"


@pytest.mark.pipeline
def test_other_params_are_another_parent_and_the_first_stays(recorded: Path) -> None:
    publish.main()
    before = {run.info.run_id for run in all_runs()}
    write_project(recorded, "method.epsilon=0.9")
    publish.main()
    assert len(parents()) == 2
    assert before < {run.info.run_id for run in all_runs()}


@pytest.mark.pipeline
def test_lost_record_is_rebuilt_equal(recorded: Path, empty_database: Path) -> None:
    with stage_timing("train"):
        note_epochs("train", [1.0, 3.0])
    publish.main()
    first = content()
    assert first["train"][3]["seconds_per_epoch"] == [(0, 2.0)]
    shutil.copy(empty_database, "mlflow.db")
    STAMP.unlink()
    publish.main()
    assert content() == first


@pytest.mark.pipeline
def test_run_id_in_the_environment_is_not_written_to(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = client()
    other = mlflow.create_run(mlflow.create_experiment("other")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    publish.main()
    assert len(parents()) == 1
    assert not mlflow.get_run(other).data.params


@pytest.mark.pipeline
def test_database_is_made_whole_by_two_processes_at_once(project: Path) -> None:
    command = [sys.executable, "-m", "stages.publish"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert len(parents()) == 1
    assert set(children()) == set(lasting_stages())
    assert not list(Path("mlartifacts").glob("*.unfinished"))


@pytest.mark.pipeline
def test_copy_writes_to_the_record_of_the_original(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = write_project(recorded / ".bmix/runs/1", "training.seed=3")
    monkeypatch.setenv("BMIX_HOME", str(recorded / ".bmix"))
    monkeypatch.chdir(copy)
    publish.main()
    assert is_current(destination())
    assert not (copy / "mlflow.db").exists()
    assert parents()[0].info.run_name.endswith("seed 3, noise seed 0")


@pytest.mark.pipeline
def test_live_run_shows_epochs_and_is_replaced_by_the_record(recorded: Path) -> None:
    params = read_record().params
    live = LiveRun.start("train", params)
    row = {
        "epoch": 4,
        "phase": "managed",
        "train_loss": 0.5,
        "val_map": None,
        "clean": 0.9,
        "clean_positives": float("nan"),
    }
    live.log_epoch(row, 4)
    shown: list[Run] = []
    while not shown:
        time.sleep(0.2)
        shown = [run for run in all_runs() if run.data.metrics]
    assert histories(shown[0]) == {"train_loss": [(4, 0.5)], "labels/clean": [(4, 0.9)]}
    live.end()
    (parent,) = parents()
    live_run = children()["train"]
    assert (live_run.info.run_name, live_run.info.status, parent.info.status) == ("train (live)", "FINISHED", "RUNNING")
    publish.main()
    assert [run.info.run_id for run in parents()] == [parent.info.run_id]
    assert children()["train"].info.run_id != live_run.info.run_id
    assert {run.info.status for run in all_runs()} == {"FINISHED"}


def test_live_run_to_a_dead_server_costs_one_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    live = LiveRun.start("train", read_record().params)
    time.sleep(1.5)
    for epoch in range(1, 4):
        live.log_epoch({"train_loss": 1.0}, epoch)
    live.end()
    told = capsys.readouterr().err
    assert told.count("warning: no live metrics in MLflow: http://***@127.0.0.1:9: ConnectionRefusedError") == 1
    assert "secret" not in told


def test_live_run_is_a_no_op_where_tracking_is_off(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMIX_TRACKING", "off")
    live = LiveRun.start("train", {})
    live.log_epoch({"train_loss": 1.0}, 1)
    live.end()
    publish.main()
    assert not Path(".bmix").exists()
    assert not Path("mlflow.db").exists()


def test_dead_server_is_a_warning_without_a_stamp(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    publish.main()
    told = capsys.readouterr().err
    assert told.startswith(
        "warning: the MLflow record at http://***@127.0.0.1:9 was not brought up to date: ConnectionRef"
    )
    assert "then run `python -m stages.publish`" in told
    assert "secret" not in told
    assert not STAMP.exists()


def test_locked_database_is_a_warning_without_a_stamp(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bmix.tracking.destination._SECONDS_TO_LOCK", 0.1)
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        publish.main()
    assert "mlflow.db: database is locked" in capsys.readouterr().err
    assert not STAMP.exists()


def test_file_that_is_no_database_is_a_warning(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlflow.db").write_text("not a database, and long enough to be looked at as one" * 100)
    publish.main()
    assert "file is not a database" in capsys.readouterr().err
    assert not STAMP.exists()


def test_current_stamp_ends_before_any_heavy_import(project: Path) -> None:
    from bmix.tracking.stamp import write_stamp

    Path("mlflow.db").touch()
    write_stamp(destination())
    code = (
        "import sys; from stages import publish; publish.main();"
        "print(sorted({'mlflow', 'pandas', 'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"MLflow record up to date at sqlite:///{project}/mlflow.db", "[]"]


@pytest.mark.parametrize("change", ["params", "lock", "uri", "experiment", "database"])
def test_stamp_is_current_until_something_changes(project: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    from bmix.tracking.stamp import write_stamp

    Path("mlflow.db").touch()
    write_stamp(destination())
    with Path("params.yaml").open("a") as params:
        params.write("# a comment changes nothing\n")
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(f"{lock}  publish:\n    cmd: python -m stages.publish\n")
    assert is_current(destination())
    if change == "params":
        Path("params.yaml").write_text(Path("params.yaml").read_text().replace("epsilon: 0.975", "epsilon: 0.9"))
    elif change == "lock":
        write_lock(project, train=1)
    elif change == "database":
        Path("mlflow.db").unlink()
    else:
        monkeypatch.setenv({"uri": "MLFLOW_TRACKING_URI", "experiment": "MLFLOW_EXPERIMENT_NAME"}[change], DEAD_SERVER)
    assert not is_current(destination())


def test_outputs_of_other_params_are_refused(project: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("epsilon: 0.975", "epsilon: 0.9"))
    with pytest.raises(
        InputError, match=r"params.yaml, method.epsilon: 0.9, but the outputs on disk were made with 0.975"
    ):
        publish.main()


def test_publish_before_the_stages_have_run_says_what_to_do(project: Path) -> None:
    Path("dvc.lock").unlink()
    with pytest.raises(InputError, match=r"dvc.lock: no such file\n(.|\n)*run `dvc repro`"):
        publish.main()
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare: {}\n")
    with pytest.raises(InputError, match="holds no stage noise, warmup, train, evaluate"):
        publish.main()


def test_missing_output_is_named(project: Path) -> None:
    Path("sampler.csv").unlink()
    with pytest.raises(InputError, match=r"sampler.csv: no such file or folder\n(.|\n)*run `dvc checkout`"):
        publish.main()


def test_recipe_without_mixtures_and_shares_has_a_record(project: Path) -> None:
    pd.read_parquet("mixtures.parquet").iloc[:0].to_parquet("mixtures.parquet")
    keys = {point.key for stage in read_record().stages for point in stage.content.metrics}
    assert "train_loss" in keys
    assert not [key for key in keys if key.startswith("mixture")]


def test_mean_mixtures_leave_degenerate_ones_out() -> None:
    means = {"mean_0": [1.0, 3.0, 100.0], "degenerate": [False, False, True]}
    others = {f"{name}_{component}": 0.0 for name in ("mean", "variance", "weight") for component in (0, 1)}
    frame = pd.DataFrame({"epoch": 4, "class": ["a", "b", "c"], "given": 1, **others, **means})
    row = tables.mean_mixtures(frame).loc[4]
    assert row["mixture given 1/mean_0"] == 2.0
    assert row["mixture given 1/degenerate"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("uri", "expected", "artifacts"),
    [
        (None, "sqlite:///{root}/mlflow.db", "{root}/mlartifacts"),
        ("sqlite:///shared/runs.db", "sqlite:///{root}/shared/runs.db", "{root}/shared/mlartifacts"),
        ("records/runs", "{root}/records/runs", "{root}/mlartifacts"),
        ("databricks", "databricks", None),
        ("sqlite:////srv/runs.db", "sqlite:////srv/runs.db", "/srv/mlartifacts"),
        ("https://example.org", "https://example.org", None),
        ("postgresql://example.org/runs", "postgresql://example.org/runs", "{root}/mlartifacts"),
    ],
)
def test_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str | None, expected: str, artifacts: str | None
) -> None:
    monkeypatch.setenv("BMIX_HOME", str(tmp_path / ".bmix"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri or "")
    target = destination()
    assert target.uri == expected.format(root=tmp_path)
    assert target.artifacts == (Path(artifacts.format(root=tmp_path)) if artifacts else None)


def test_a_copy_of_the_project_is_known_without_being_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BMIX_HOME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    copy = tmp_path / ".bmix" / "runs" / "seed-7_5d0c6a1f"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert destination().database == tmp_path / "mlflow.db"


def test_the_remedy_in_a_copy_starts_from_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = project / ".bmix" / "runs" / "seed-7_5d0c6a1f"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".bmix"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD_SERVER)
    publish.main()
    assert "run `cd .bmix/runs/seed-7_5d0c6a1f && python -m stages.publish`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("edits", "name"),
    [
        ({}, "bce · table · flip 0.2 · seed 1"),
        ({"noise.seed": 2}, "bce · table · flip 0.2 · seed 1, noise seed 2"),
        ({"noise.kind": "none", "noise.seed": 2}, "bce · table · clean · seed 1"),
        ({"noise.kind": "single-positive"}, "bce · table · single-positive · seed 1"),
        (
            {"training.recipe": "balancemix", "method.relabel": False, "method.minority": False},
            "balancemix without minority, relabel · table · flip 0.2 · seed 1",
        ),
    ],
)
def test_run_names(edits: dict[str, Any], name: str) -> None:
    params = {"training.recipe": "bce", "data.source": "table", "noise.kind": "flip", "noise.rate": 0.2}
    switches = {f"method.{name}": True for name in ("minority", "clean", "relabel", "ambiguous")}
    assert run_name(params | switches | {"training.seed": 1, "noise.seed": 1} | edits) == name


def test_timing_belongs_to_the_run_that_made_the_outputs(project: Path) -> None:
    with stage_timing("train"):
        note_epochs("train", [1.0, 2.0])
    timing = read_timing("train")
    assert timing is not None
    assert (timing["status"], timing["epochs"]) == ("finished", [1.0, 2.0])
    write_lock(project, train=1)
    assert read_timing("train") is not None
    write_lock(project, noise=1)
    assert read_timing("train") is None


@pytest.mark.parametrize(
    ("error", "retry", "message"),
    [
        (InputError("a", "b", "c", "d"), False, "a: b\n  expected: c\n  fix: d"),
        (OSError(28, "No space left on device"), True, "OSError: [Errno 28] No space left on device"),
        (RuntimeError("CUDA error"), True, "RuntimeError: CUDA error"),
        (KeyError("x"), False, "KeyError: 'x'"),
        (KeyboardInterrupt(), False, "interrupted"),
    ],
)
def test_failure_says_whether_to_try_again(project: Path, error: BaseException, retry: bool, message: str) -> None:
    with pytest.raises(type(error)), stage_timing("noise"):
        raise error
    failure = Path(".bmix/failures/noise.json")
    assert json.loads(failure.read_text()) == {"stage": "noise", "message": message, "retry": retry}
    assert read_timing("noise") is None
    with stage_timing("noise"):
        assert not failure.exists()
    assert not failure.exists()


@pytest.mark.parametrize(
    ("error", "retry"),
    [(MemoryError(), True), (FileNotFoundError(), False), (ConnectionError(), True), (ValueError(), False)],
)
def test_what_can_pass_on_a_second_try(error: BaseException, retry: bool) -> None:
    assert can_pass_on_second_try(error) is retry


def test_verdict_shares_are_shares_of_the_labels_of_a_class() -> None:
    counts = {"clean": 6, "relabelled": 1, "ambiguous": 1, "degenerate": False}
    empty = {"clean": 0, "relabelled": 0, "ambiguous": 0, "degenerate": True}
    shares = tables.verdict_shares({"classes": {"ant": {"positives": counts, "negatives": empty}}})
    assert shares.to_dict("records") == [
        {
            "class": "ant",
            "given": "positives",
            "labels": 8,
            "clean": 0.75,
            "relabelled": 0.125,
            "ambiguous": 0.125,
            "degenerate": False,
        },
        {
            "class": "ant",
            "given": "negatives",
            "labels": 0,
            "clean": 0.0,
            "relabelled": 0.0,
            "ambiguous": 0.0,
            "degenerate": True,
        },
    ]


def test_the_first_of_several_failures_is_kept_unless_it_is_an_earlier_runs(project: Path) -> None:
    def fail(message: str, replace: bool = False) -> str:
        with pytest.raises(RuntimeError), failure_noted("train", replace):
            raise RuntimeError(message)
        return str(json.loads((project / ".bmix/failures/train.json").read_text())["message"])

    assert fail("of rank 1") == "RuntimeError: of rank 1"
    assert fail("of rank 0") == "RuntimeError: of rank 1"
    assert fail("of the next start", replace=True) == "RuntimeError: of the next start"
