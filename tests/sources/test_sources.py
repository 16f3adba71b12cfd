from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bmix.params import Params, load_params
from bmix.pipeline.data_check import check_data as check
from bmix.sources.examine import examine
from bmix.support.errors import InputError
from tests.helpers.projects import SCENES
from tests.helpers.tiny import REPOSITORY, write_params, write_table, write_voc


def table_params(folder: Path, *edits: str) -> Params:
    path = folder / "labels.csv" if (folder / "labels.csv").exists() else write_table(folder)
    source = ["data.source=table", f"data.path={path}", f"data.root={folder / 'images'}", "evaluate.split=test"]
    return load_params(write_params(folder, *source, *edits))


def voc_params(folder: Path) -> Params:
    root = write_voc(folder)
    return load_params(
        write_params(folder, "data.source=voc", f"data.path={root}", f"data.root={root}", "evaluate.split=val")
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was given to PIL to open, in a list that grows."""
    opened: list[object] = []
    original = Image.open

    def record(*args: Any, **kwargs: Any) -> Image.Image:
        opened.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(Image, "open", record)
    return opened


@pytest.mark.parametrize("build", [table_params, voc_params])
def test_sources_give_a_verified_manifest_with_plain_rows(tmp_path: Path, build: Callable[[Path], Params]) -> None:
    manifest, _ = examine(build(tmp_path).data, tmp_path / "made")
    assert (manifest.frame["digest"].str.len() == 16).all()
    assert manifest.frame.index.tolist() == list(range(60))
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("build", [table_params, voc_params])
def test_data_that_was_found_good_is_not_opened_again(
    tmp_path: Path, build: Callable[[Path], Params], decoded: list[object]
) -> None:
    params, memo = build(tmp_path), tmp_path / ".bmix" / "checked.json"
    check(params, memo)
    assert len(decoded) == 60
    check(params, memo)
    assert len(decoded) == 60
    check(params)
    assert len(decoded) == 120


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: touch(folder / "labels.csv"),
        lambda folder: touch(folder / "images" / "a" / "000.jpg"),
        lambda folder: (folder / "images" / "classes.txt").write_text("bird\ncat\ndog\nfish\n"),
        lambda folder: (folder / ".bmix" / "checked.json").write_text("{"),
        lambda folder: (folder / ".bmix" / "checked.json").write_text("[]"),
    ],
)
def test_any_change_of_the_data_is_looked_at(
    tmp_path: Path, change: Callable[[Path], object], decoded: list[object]
) -> None:
    params, memo = table_params(tmp_path), tmp_path / ".bmix" / "checked.json"
    check(params, memo)
    change(tmp_path)
    check(params, memo)
    assert len(decoded) == 120


@pytest.mark.slow
@pytest.mark.parametrize("build", [table_params, voc_params])
def test_what_was_understood_is_told_also_where_nothing_is_opened(
    tmp_path: Path, build: Callable[[Path], Params]
) -> None:
    params, memo = build(tmp_path), tmp_path / ".bmix" / "checked.json"
    told = check(params, memo)
    assert told[0].startswith(f"{params.data.source} {params.data.path}")
    assert told[1] == f"  images: 60, in 60 files below {params.data.root}"
    assert told == check(params, memo) == str(examine(params.data)[1]).splitlines()


def test_changed_params_are_looked_at_and_faults_are_not_remembered(tmp_path: Path) -> None:
    memo = tmp_path / "checked.json"
    check(table_params(tmp_path), memo)
    (tmp_path / "images" / "a" / "000.jpg").write_bytes(b"spoilt")
    for _ in range(2):
        with pytest.raises(InputError, match=r'line 2: "a/000.jpg" is none of JPEG'):
            check(table_params(tmp_path), memo)


def test_a_new_voc_list_is_looked_at(tmp_path: Path) -> None:
    params, memo = voc_params(tmp_path), tmp_path / "checked.json"
    check(params, memo)
    (Path(params.data.path) / "ImageSets" / "Main" / "test.txt").write_text("000001\n")
    with pytest.raises(InputError, match='image "000001" of split test is in split train already'):
        check(params, memo)


def test_an_evaluation_split_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check(table_params(tmp_path, "evaluate.split=test-hard"))
    assert caught.value.where == "evaluate.split"
    assert caught.value.found == f'split "test-hard" has no image in {tmp_path}/labels.csv'
    assert caught.value.expected == "a split with images: val, test"
    assert caught.value.remedy.endswith('Did you mean "test"?')


@pytest.mark.slow
def test_more_queries_than_classes_are_refused_and_not_passed_over_by_the_memo(tmp_path: Path) -> None:
    decoder, memo = ["model.head=decoder", "model.queries=4"], tmp_path / "checked.json"
    check(table_params(tmp_path, *decoder), memo)
    with pytest.raises(InputError) as caught:
        check(table_params(tmp_path, "model.head=decoder", "model.queries=5"), memo)
    assert caught.value.where == "params.yaml, model.queries"
    assert caught.value.found == f"5, and {tmp_path}/labels.csv has 4 classes"
    assert caught.value.expected == "at most 4, or 0 for one query per class"
    assert caught.value.remedy == "set model.queries to 0"
    check(table_params(tmp_path, "model.head=linear", "model.queries=5"), memo)
    recipe = REPOSITORY / "data" / "digits" / "scenes.yaml"
    with pytest.raises(InputError, match=r"11, and .* has 10 classes"):
        check(
            load_params(
                write_params(
                    tmp_path,
                    f"data.path={recipe}",
                    "model.head=decoder",
                    "model.queries=11",
                )
            )
        )


def test_a_lone_training_image_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path, images=7, classes=("bird",))
    lines = table.read_text(encoding="utf-8").splitlines()
    train = [line for line in lines if line.endswith(",train")]
    table.write_text("\n".join(line for line in lines if line not in train[1:]), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        check(table_params(tmp_path, "noise.kind=none"))
    assert caught.value.found == "one image in split train"


@pytest.mark.parametrize(
    ("edits", "refused"),
    [
        (["noise.kind=mislabel"], True),
        (["noise.kind=mislabel", "noise.rate=0"], False),
        (["noise.kind=class-dependent"], True),
        (["noise.kind=flip"], False),
    ],
)
def test_noise_that_needs_another_class_is_refused_where_there_is_none(
    tmp_path: Path, edits: list[str], refused: bool
) -> None:
    table = write_table(tmp_path, images=12, classes=("bird",))
    table.write_text(table.read_text().replace("000.jpg,bird,train", "000.jpg,,train"))
    params = table_params(tmp_path, *edits, f"noise.matrix={tmp_path / 'labels.csv'}")
    if not refused:
        check(params)
        return
    with pytest.raises(InputError) as caught:
        check(params)
    assert caught.value.where == "params.yaml, noise.kind"
    assert caught.value.found == f"{params.noise.kind}, and the data has one class"


def test_a_memo_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / ".bmix").touch()
    check(table_params(tmp_path), tmp_path / ".bmix" / "checked.json", tmp_path / ".bmix" / "digests.npz")


@pytest.mark.slow
def test_the_memo_of_images_is_left_alone_by_those_that_are_made(tmp_path: Path) -> None:
    memo = tmp_path / "digests.npz"
    examine(table_params(tmp_path).data, tmp_path / "made", memo)
    kept = memo.read_bytes()
    recipe = REPOSITORY / "data" / "digits" / "scenes.yaml"
    edits = [f"data.path={_small_recipe(recipe, tmp_path)}", "data.image_size=24"]
    examine(load_params(write_params(tmp_path, *edits)).data, tmp_path / "made", memo)
    assert memo.read_bytes() == kept


def _small_recipe(recipe: Path, folder: Path) -> Path:
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    small = folder / "scenes.yaml"
    small.write_text(yaml.safe_dump(content | {"scenes": SCENES, "fall": 2}, sort_keys=False), encoding="utf-8")
    return small


def test_an_image_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.root: .*none is not a folder"):
        check(table_params(tmp_path, f"data.root={tmp_path / 'none'}"))


@pytest.mark.slow
def test_of_digits_the_recipe_and_the_split_are_checked(tmp_path: Path) -> None:
    recipe = _small_recipe(REPOSITORY / "data" / "digits" / "scenes.yaml", tmp_path)
    params = load_params(write_params(tmp_path, f"data.path={recipe}", "evaluate.split=test-balanced"))
    unmade, told = examine(params.data)
    assert list(told.lines) == check(params)
    made, again = examine(params.data, tmp_path / "made")
    assert told == again
    assert unmade.frame.drop(columns="digest").equals(made.frame.drop(columns="digest"))
    with pytest.raises(InputError, match=r'split "test-hard" has no image'):
        check(load_params(write_params(tmp_path, f"data.path={recipe}", "evaluate.split=test-hard")))
    with pytest.raises(InputError, match="no such file"):
        check(load_params(write_params(tmp_path, f"data.path={tmp_path / 'none.yaml'}")))


def test_the_folder_that_dvc_waits_for_must_exist_for_digits_too(tmp_path: Path) -> None:
    recipe = REPOSITORY / "data" / "digits" / "scenes.yaml"
    params = load_params(write_params(tmp_path, f"data.path={recipe}", f"data.root={tmp_path / 'none'}"))
    with pytest.raises(InputError, match=r"data\.root: .*none is not a folder"):
        check(params)


def test_a_path_that_no_file_system_knows_is_refused_before_any_file_is_looked_at(tmp_path: Path) -> None:
    params = table_params(tmp_path)
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("a/000.jpg", "a/000\0.jpg", 1), encoding="utf-8")
    with pytest.raises(InputError, match="has a null character"):
        check(params, tmp_path / "checked.json")
