from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from bmix.params import load_params
from bmix.pipeline.copies import copy_name, refresh_copy
from bmix.pipeline.projects import open_project
from bmix.support.errors import InputError
from tests.helpers.projects import make_project
from tests.helpers.tiny import write_table


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_project(tmp_path / "project"))
    return tmp_path / "project"


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_edits_that_change_nothing_run_in_place(project: Path) -> None:
    assert open_project([]).folder == Path()
    assert open_project(["noise.rate=0.4", "training.recipe=balancemix"]).folder == Path()
    assert not (project / ".bmix" / "runs").exists()


def test_edited_params_go_to_a_copy_and_the_users_file_stays(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    copy = open_project(["noise.rate=0.2", "training.recipe=bce"])
    assert (project / "params.yaml").read_bytes() == before
    assert copy.folder.parent == Path(".bmix/runs")
    assert copy.folder.name.startswith("rate-0.2_recipe-bce_")
    assert copy.environment == {"BMIX_HOME": str(project / ".bmix")}
    expected = load_params().flat() | {"noise.rate": 0.2, "training.recipe": "bce"}
    assert load_params(copy.folder / "params.yaml").flat() == expected == copy.params.flat()


def test_a_copy_holds_the_code_links_the_data_and_shares_the_cache(project: Path) -> None:
    folder = project / open_project(["noise.rate=0.2"]).folder
    for name in ("bmix/params/read.py", "stages/train.py", "dvc.yaml", ".dvcignore"):
        assert (folder / name).read_bytes() == (project / name).read_bytes()
    for name in ("bmix", "stages"):
        files = {path.relative_to(project) for path in (project / name).rglob("*") if path.is_file()}
        code = {path for path in files if "__pycache__" not in path.parts}
        assert {path.suffix for path in code} >= ({".py", ".yaml", ".js"} if name == "bmix" else {".py"})
        for path in code:
            assert (folder / path).read_bytes() == (project / path).read_bytes()
    assert (folder / "data/digits").is_symlink()
    assert (folder / "data/digits").resolve() == project / "data/digits"
    settings = (folder / ".dvc/config.local").read_text()
    assert "no_scm = true" in settings
    assert "dir = ../../../../.dvc/cache" in settings


def test_a_second_use_touches_nothing_and_takes_over_what_changed(project: Path) -> None:
    folder = open_project(["noise.rate=0.2"]).folder
    before = times(folder)
    assert open_project(["noise.rate=0.2"]).folder == folder
    assert times(folder) == before
    (project / "stages" / "extra.py").write_text("NUMBER = 1\n")
    assert open_project(["noise.rate=0.2"]).folder == folder
    changed = {path for path, time in times(folder).items() if before.get(path) != time}
    assert changed == {folder / "stages" / "extra.py"}
    (project / "stages" / "extra.py").unlink()
    open_project(["noise.rate=0.2"])
    assert times(folder) == before


def test_the_order_of_edits_does_not_matter_but_every_param_does(project: Path) -> None:
    base = load_params()
    one, other = open_project(["noise.rate=0.2", "noise.seed=3"]), open_project(["noise.seed=3", "noise.rate=0.2"])
    assert one.folder == other.folder
    assert copy_name(base, one.params) != copy_name(base, open_project(["noise.rate=0.2"]).params)
    # Other values of the user's own file make other runs of the same edits.
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("epochs: 2", "epochs: 3"))
    assert open_project(["noise.rate=0.2", "noise.seed=3"]).folder != one.folder


def test_a_name_is_fit_for_a_folder(project: Path) -> None:
    base = load_params()
    edits = {"path": "../a b/ü.csv", "root": "/abs/olute"}
    edited = base.model_copy(update={"data": base.data.model_copy(update=edits)})
    name = copy_name(base, edited)
    assert name.isascii()
    assert not set(name) & set("/ \\:")
    assert len(name) <= 70


def test_data_beside_each_other_and_data_outside_are_reached(project: Path, tmp_path: Path) -> None:
    write_table(project / "data" / "mine", images=6)
    write_table(tmp_path / "outside", images=6)
    content = yaml.safe_load((project / "params.yaml").read_text())
    inside = {"path": "data/mine/labels.csv", "root": "data/mine/images"}
    refresh_copy(Path(), Path(".bmix/runs/inside"), content | {"data": content["data"] | inside})
    copied = yaml.safe_load(Path(".bmix/runs/inside/params.yaml").read_text())
    assert copied["data"] | inside == copied["data"]
    copy = project / ".bmix/runs/inside/data/mine"
    assert (copy / "labels.csv").resolve() == project / "data/mine/labels.csv"
    assert (copy / "images").resolve() == project / "data/mine/images"
    outside = {"path": "../outside/labels.csv", "root": "../outside/images"}
    refresh_copy(Path(), Path(".bmix/runs/outside"), content | {"data": content["data"] | outside})
    copied = yaml.safe_load(Path(".bmix/runs/outside/params.yaml").read_text())
    assert copied["data"]["path"] == str(tmp_path / "outside/labels.csv")
    assert copied["data"]["root"] == str(tmp_path / "outside/images")


@pytest.mark.parametrize(
    ("edits", "found"),
    [
        (["noise.rate=1.2"], "noise.rate is 1.2"),
        (["noise.rte=0.2"], "unknown key noise.rte"),
        (["evaluate.split=test-other"], 'split "test-other" has no image'),
        (["data.path=data/digits/none.yaml"], "no such file"),
        (["data.source=table", "data.root=data"], "data is, holds or lies in data/prepared, which the pipeline writes"),
        (["data.source=table", "data.root=."], ". is, holds or lies in data/prepared, which the pipeline writes"),
        (["data.root=data/prepared/images"], "data/prepared/images is, holds or lies in data/prepared"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(project: Path, edits: list[str], found: str) -> None:
    before = times(project)
    with pytest.raises(InputError) as caught:
        open_project(edits)
    assert found in caught.value.found
    # What was found good before the fault is noted for the next time.
    assert {path for path in times(project) if path.name != "checked-recipe.json"} == {*before}


def test_a_project_without_dvc_says_how_to_get_it(project: Path) -> None:
    shutil.rmtree(project / ".dvc")
    with pytest.raises(InputError, match="run `dvc init` in it"):
        open_project(["noise.rate=0.2"])
