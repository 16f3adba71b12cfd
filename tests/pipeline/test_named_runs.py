from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bmix.pipeline import copies, runs
from bmix.pipeline.projects import check_name, open_project
from bmix.pipeline.runs import list_runs, render_runs
from bmix.support.errors import InputError
from bmix.tracking.tags import run_name
from bmix.workspace.run_note import RUN_NOTE, given_name, read_note
from tests.helpers.projects import make_project
from tests.pipeline.test_cli import METRICS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_project(tmp_path / "project"))
    # It asks DVC, which takes seconds; other tests run it.
    monkeypatch.setattr(copies, "_write_local_config", lambda original, folder: None)
    monkeypatch.setattr(runs, "dvc_at_work", lambda folder: [1] if folder.name == "busy" else [])
    return tmp_path / "project"


@pytest.mark.slow
def test_a_name_is_that_of_the_copy_and_of_its_record(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = open_project(["noise.rate=0.2"], "my-run")
    assert named.folder == Path(".bmix/runs/my-run")
    assert open_project(["noise.rate=0.2"], "my-run").folder == named.folder
    assert open_project([], "as-it-is").folder == Path(".bmix/runs/as-it-is")
    assert open_project(["noise.rate=0.2"]).folder.name.startswith("rate-0.2_")
    assert given_name() == ""
    monkeypatch.chdir(named.folder)
    assert given_name() == "my-run"
    assert run_name(named.params.flat(), given_name()) == "my-run · balancemix · digits · mislabel 0.2 · seed 0"


def test_a_name_that_holds_other_params_is_refused_and_stays(project: Path) -> None:
    folder = open_project(["noise.rate=0.2"], "taken").folder
    before = (folder / "params.yaml").read_bytes(), (folder / RUN_NOTE).read_bytes()
    with pytest.raises(InputError) as caught:
        open_project(["noise.rate=0.3"], "taken")
    assert caught.value.where == "--name taken"
    assert caught.value.found == ".bmix/runs/taken holds a run with other params: noise.rate 0.2, not 0.3"
    assert caught.value.remedy.endswith("or remove that run: rm -r .bmix/runs/taken")
    assert before == ((folder / "params.yaml").read_bytes(), (folder / RUN_NOTE).read_bytes())


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-x", "a b", "ü", "x" * 61, "a\n"])
def test_a_name_that_is_not_fit_for_a_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"--name: (.|\n)* is not a name for a run"):
        check_name(name)


def test_keys_that_share_a_last_part_are_told_apart(project: Path) -> None:
    name = open_project(["noise.seed=1", "training.seed=1", "noise.rate=0.2"]).folder.name
    assert name.startswith("rate-0.2_noise.seed-1_training.seed-1_")


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / ".bmix").mkdir()
    for text in ("", "[]", "{}", '{"name": "x", "params": 3}', "\x80"):
        (tmp_path / RUN_NOTE).write_bytes(text.encode("latin-1"))
        assert read_note(tmp_path) is None


@pytest.mark.slow
def test_the_runs_are_listed_with_what_differs_and_their_results(project: Path) -> None:
    done = open_project(["noise.rate=0.2", "training.recipe=bce"]).folder
    (done / "metrics.json").write_text(json.dumps(METRICS))
    busy, failed = open_project([], "busy").folder, open_project(["training.seed=3"], "failed").folder
    (busy / ".dvc/tmp").mkdir(parents=True)
    (failed / ".bmix/failures").mkdir(parents=True)
    (failed / ".bmix/failures/train.json").write_text("{}")
    # A copy made by an older version has no note.
    old = open_project(["training.epochs=3"], "old").folder
    (old / RUN_NOTE).unlink()
    for folder, age in ((done, 5400), (busy, 9000), (failed, 200_000), (old, 300_000)):
        changed = (folder / "params.yaml").stat().st_mtime - age
        os.utime(folder / "params.yaml", (changed, changed))
    found = list_runs()
    assert [run.name for run in found] == ["this folder", done.name, "busy", "failed", "old"]
    assert [run.state for run in found] == ["not finished", "finished", "running", "failed", "not finished"]
    assert [run.differs for run in found][1:] == [
        *({"noise.rate": 0.2, "training.recipe": "bce"}, {}, {"training.seed": 3}, {"training.epochs": 3}),
    ]
    plain = found[1].plain()
    assert plain["mAP"] == METRICS["mAP"]
    assert (plain["recipe"], plain["path"]) == ("bce", str(done))
    assert json.loads(json.dumps(plain)) == plain
    lines = render_runs(found).splitlines()
    assert lines[0].split("  ")[0] == "run"
    assert "noise.rate=0.2, training.recipe=bce     50.0      75.0        50.0        –  finished" in lines[3]
    assert [line.split()[-3:] for line in lines[3:]] == [
        *(["1", "h", str(done)], ["2", "h", str(busy)], ["2", "d", str(failed)], ["3", "d", str(old)]),
    ]


def test_the_command_lists_runs_for_people_and_programs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bmix.cli.look import runs as command

    command()
    assert "this folder" in capsys.readouterr().out
    command("json")
    assert json.loads(capsys.readouterr().out)[0]["name"] == "this folder"
