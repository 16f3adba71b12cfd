"""What is refused of a recipe before any stage runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bmix.params import Params, load_params
from bmix.pipeline import checks, recipe_check
from bmix.recipes import RECIPES
from bmix.support.errors import InputError
from tests.helpers.tiny import REPOSITORY, write_params, write_table


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "noise"):
        shutil.copytree(REPOSITORY / "data" / name, tmp_path / "data" / name)
    return lambda *edits: load_params(write_params(tmp_path, *edits))


def test_the_check_takes_every_recipe(digits: Callable[..., Params]) -> None:
    for name in RECIPES:
        assert checks.check_inputs(digits(f"training.recipe={name}")), name


def test_settings_that_a_recipe_does_not_take_are_refused_before_a_stage_runs(digits: Callable[..., Params]) -> None:
    wrong = "recipes.asl.margin=1.5"
    for _ in range(2):
        with pytest.raises(InputError, match=r"^recipes\.asl\.margin: is 1\.5\n.*from 0 up to 0\.99"):
            checks.check_inputs(digits("training.recipe=asl", wrong))
    # The recipe that runs does not read them.
    checks.check_inputs(digits("training.recipe=bce", wrong))


def test_a_recipe_without_a_section_is_refused_with_the_line_to_add(digits: Callable[..., Params]) -> None:
    params = digits("training.recipe=asl")
    without = params.model_copy(update={"recipes": {"bce": {}}})
    with pytest.raises(InputError) as caught:
        checks.check_inputs(without)
    assert caught.value.found == "no section asl, which training.recipe names"
    assert caught.value.remedy.startswith("add the line `asl: {}` below recipes")


def test_a_recipe_is_imported_once_for_each_state_of_its_settings(
    digits: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    memo = Path(".bmix/checked-recipe.json")
    oracle = digits("training.recipe=oracle")
    assert recipe_check.check_recipe(oracle, memo)
    monkeypatch.setattr("bmix.recipes.own_settings", None)
    assert recipe_check.check_recipe(oracle, memo)
    with pytest.raises(TypeError):
        recipe_check.check_recipe(digits("training.recipe=focal"), memo)
    memo.write_text("{")
    with pytest.raises(TypeError):
        recipe_check.check_recipe(oracle, memo)


def test_the_oracle_is_refused_where_nobody_knows_the_truth(digits: Callable[..., Params]) -> None:
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            checks.check_inputs(digits("training.recipe=oracle", "noise.kind=none"))
        assert caught.value.where == "params.yaml, training.recipe"
        assert caught.value.found == "oracle trains on the true labels, and they are unknown"
        assert "noise.kind" in caught.value.remedy
        checks.check_inputs(digits("training.recipe=mixup", "noise.kind=none"))
    checks.check_inputs(digits("training.recipe=oracle", "noise.kind=flip"))


def test_the_oracle_takes_a_truth_that_the_data_bring_in(digits: Callable[..., Params], tmp_path: Path) -> None:
    table = write_table(tmp_path / "data/mine")
    lines = table.read_text().splitlines()
    own = ["data.source=table", "data.path=data/mine/labels.csv", "data.root=data/mine/images", "noise.kind=none"]
    edits = [*own, "training.recipe=oracle"]
    with pytest.raises(InputError, match="they are unknown"):
        checks.check_inputs(digits(*edits))
    labels = lines[0].split(",").index("labels")
    table.write_text(
        "\n".join([f"{lines[0]},true", *(f"{line},{line.split(',')[labels]}" for line in lines[1:])]) + "\n"
    )
    checks.check_inputs(digits(*edits))
