"""The flow as Prefect runs it: states that tell ran from cached, failures that are told, retries where they help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bmix.pipeline.projects import open_project
from bmix.pipeline.repro import PipelineError
from bmix.support.errors import InputError
from flows import retrain
from flows.deployments import deployment_name
from flows.pipeline import can_pass_on_second_try, pipeline, result_rows, run_stage
from flows.retrain import check_cron, check_interval
from tests.helpers.projects import copy_project, failing_stage, run
from tests.support.test_locks import held_elsewhere

CACHED = dict.fromkeys(["prepare", "noise", "audit", "pretrain", "warmup", "pseudo", "train", "evaluate"], "Cached")


@pytest.fixture
def project(finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Path:
    monkeypatch.chdir(copy_project(finished_project, tmp_path / "project"))
    monkeypatch.setenv("BMIX_TRACKING", "off")
    return tmp_path / "project"


def task_states(flow_state: Any) -> dict[str, str]:
    """The name of every task's final state, as Prefect's server keeps it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    runs = FlowRunFilter(id=FlowRunFilterId(any_=[flow_state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        return {task.name: task.state_name for task in client.read_task_runs(flow_run_filter=runs)}


@pytest.mark.pipeline
def test_states_tell_cached_restored_and_ran(project: Path) -> None:
    from prefect.artifacts import Artifact

    state = pipeline(return_state=True)
    assert state.is_completed()
    assert task_states(state) == CACHED | {"publish": "Ran"}
    artifact = Artifact.get("bmix-result")
    assert artifact is not None
    assert '"measure": "mAP all"' in artifact.data
    before = (project / "params.yaml").read_bytes()
    state = pipeline(["evaluate.curve_points=50"], return_state=True)
    assert task_states(state) == dict.fromkeys(CACHED, "Restored") | {"evaluate": "Ran", "publish": "Ran"}
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.pipeline
def test_wrong_input_fails_the_flow_before_any_task(project: Path) -> None:
    state = pipeline(["noise.rate=1.2"], return_state=True)
    assert state.is_failed()
    assert "noise.rate is 1.2\n  expected: less than 1" in state.message
    assert task_states(state) == {}


@pytest.mark.pipeline
def test_a_stage_that_cannot_pass_fails_the_flow_at_once_with_its_message(project: Path) -> None:
    (project / "stages/noise.py").write_text(
        failing_stage("noise", "raise InputError('labels', 'none', 'some', 'add some')")
    )
    state = pipeline(return_state=True)
    assert state.is_failed()
    assert "stage noise failed: labels: none\n  expected: some\n  fix: add some" in state.message
    assert task_states(state) == {"prepare": "Cached", "noise": "Failed"}


@pytest.mark.pipeline
def test_what_can_pass_on_a_second_try_is_tried_again(project: Path) -> None:
    from prefect import flow

    write = "from pathlib import Path; Path('data/noisy').mkdir()"
    (project / "stages/noise.py").write_text(
        failing_stage("noise", f"exec({write!r}) if tried else exec('raise OSError(5, 1)')")
    )

    @flow
    def one_stage() -> Any:
        return run_stage.with_options(retry_delay_seconds=0)("noise", open_project([]), return_state=True)

    state = one_stage(return_state=True)
    assert state.is_completed(), state.message
    assert task_states(state) == {"noise": "Ran"}


def test_only_errors_that_say_so_are_retried() -> None:
    from prefect.states import Failed

    def asked(error: Exception) -> bool:
        return can_pass_on_second_try(run_stage, None, Failed(data=error))  # type: ignore[arg-type]

    assert asked(PipelineError("busy", retry=True))
    assert not asked(PipelineError("wrong input", stage="noise"))
    assert not asked(ValueError("unknown"))


def test_the_result_is_shown_in_percent() -> None:
    assert result_rows({"mAP all": 0.1234, "mAP few": None}) == [
        {"measure": "mAP all", "%": "12.3"},
        {"measure": "mAP few", "%": "–"},
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "is not a cron expression"),
        ("nightly", "is not a cron expression"),
        ("0 25 * * *", "is not a cron expression"),
        ("0 2 * *", "is not a cron expression"),
        ("H 2 * * *", "is not a cron expression"),
        ("0 0 2 * * *", "has 6 fields; a schedule has no seconds"),
        ("0 0 31 2 *", "names no day that there is"),
    ],
)
def test_a_wrong_cron_expression_is_refused_with_an_example(text: str, found: str) -> None:
    with pytest.raises(InputError) as caught:
        check_cron(text)
    assert caught.value.found == f"{text!r} {found}"
    assert '--cron "0 2 * * *"' in caught.value.remedy


@pytest.mark.parametrize("seconds", [0, -5, 0.5, 1e9, float("nan"), float("inf")])
def test_a_wrong_interval_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="--interval"):
        check_interval(seconds)


def test_good_schedules_pass(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("0 2 * * fri", "@daily", "0 0 29 2 *", "*/5 * * * *"):
        assert check_cron(text) == text
    assert check_interval(60) == 60
    assert capsys.readouterr().err == ""


def test_a_schedule_that_starts_all_the_time_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_cron("* * * * *") == "* * * * *"
    assert "warning: --cron '* * * * *' starts every 60 s" in capsys.readouterr().err


def test_the_command_refuses_two_schedules_and_none() -> None:
    with pytest.raises(
        InputError, match="it is not said when to run\n  expected: one of --cron, --interval and --once"
    ):
        retrain.main()
    with pytest.raises(InputError, match="--work-pool is given too"):
        retrain.main(once=True, work_pool="nights")
    ended = run(Path.cwd(), "-m", "flows.retrain", "--once", "--interval", "60")
    assert ended.returncode == 2
    assert "--interval and --once are given\n  expected: one of --cron, --interval and --once" in ended.stdout


def test_each_project_and_each_set_of_edits_has_a_schedule_of_its_own(tmp_path: Path) -> None:
    names = [
        deployment_name(tmp_path / "one" / "birds & co", []),
        deployment_name(tmp_path / "two" / "birds & co", []),
        deployment_name(tmp_path / "one" / "birds & co", ["noise.rate=0.2"]),
    ]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"retrain-birds-co-[0-9a-f]{8}", name) for name in names)
    assert deployment_name(tmp_path / "one" / "birds & co", []) == names[0]


def test_a_schedule_that_another_process_serves_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("check_inputs", "run_params", "check_server"):
        monkeypatch.setattr(retrain, name, lambda *_, **_more: (None, None))
    lock = tmp_path / ".bmix" / f"{deployment_name(tmp_path, [])}.lock"
    with (
        held_elsewhere(lock) as holder,
        pytest.raises(InputError, match=f"process {holder.pid} keeps this project on a schedule"),
    ):
        retrain.serve([], None, 60)
