from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from bmix.params import Params, apply_edits, known_keys, load_params, parse_params
from bmix.recipes import RECIPES
from bmix.recipes.shared.settings import meanings
from bmix.support.errors import InputError
from bmix.support.yaml_text import parse_yaml

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def content() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8")))


def refused(content: dict[str, Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_params(content)
    return caught.value


def test_the_file_holds_exactly_the_typed_keys(content: dict[str, Any]) -> None:
    typed = {section: keys for section, keys in content.items() if section != "recipes"}
    assert [f"{section}.{key}" for section, keys in typed.items() for key in keys] == known_keys()
    of_runs = [key for key in known_keys() if not key.startswith("retrain.")]
    assert [key for key in parse_params(content).flat() if not key.startswith("recipes.")] == of_runs
    assert set(content["recipes"]) == set(RECIPES)


def test_every_key_has_a_description() -> None:
    for section in Params.model_fields.values():
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            assert field.description, name
    for recipe in RECIPES.values():
        assert all(meanings(recipe.Settings).values())


@pytest.mark.parametrize(
    ("section", "key", "value", "found", "expected"),
    [
        ("noise", "rate", 1.2, "noise.rate is 1.2", "less than 1"),
        ("noise", "rate", -0.1, "noise.rate is -0.1", "greater than or equal to 0"),
        ("noise", "rate", float("nan"), "noise.rate is nan", "finite number"),
        ("noise", "rate", "much", "noise.rate is 'much'", "valid number"),
        ("noise", "rate", True, "noise.rate is True", "valid number"),
        ("method", "epsilon", 0.3, "method.epsilon is 0.3", "greater than or equal to 0.5"),
        ("method", "alpha", 0, "method.alpha is 0", "greater than 0"),
        ("method", "alpha", 1e308, "method.alpha is 1e+308", "less than or equal to 1000000"),
        ("method", "sharpness", 1e308, "method.sharpness is 1e+308", "less than or equal to 1000"),
        ("method", "clean", 1, "method.clean is 1", "valid boolean"),
        ("training", "batch_size", 1, "training.batch_size is 1", "greater than or equal to 2"),
        ("training", "epochs", 2.5, "training.epochs is 2.5", "valid integer"),
        ("training", "seed", -1, "training.seed is -1", "greater than or equal to 0"),
        ("data", "image_size", None, "data.image_size is None", "valid integer"),
        ("evaluate", "split", "train", "evaluate.split is 'train'", "one of val, test, test-NAME"),
    ],
)
def test_a_value_out_of_range_is_named_with_key_and_range(
    content: dict[str, Any], section: str, key: str, value: object, found: str, expected: str
) -> None:
    content[section][key] = value
    error = refused(content)
    assert error.where == "params.yaml"
    assert error.found == found
    assert expected in error.expected
    assert error.remedy.startswith(f"correct {section}.{key} (")


def test_a_misspelt_key_names_the_nearest(content: dict[str, Any]) -> None:
    content["method"]["epsylon"] = content["method"].pop("epsilon")
    error = refused(content)
    assert "unknown key method.epsylon" in error.found
    assert "key method.epsilon is missing" in error.found
    assert 'Did you mean "method.epsilon"?' in error.remedy


def test_an_unknown_section_names_the_nearest(content: dict[str, Any]) -> None:
    content["trainig"] = content.pop("training")
    error = refused(content)
    assert "unknown key trainig" in error.found
    assert 'Did you mean "training"?' in error.remedy


def test_an_unknown_choice_names_the_nearest(content: dict[str, Any]) -> None:
    content["noise"]["kind"] = "mislable"
    error = refused(content)
    assert error.found == "noise.kind is 'mislable'"
    assert "one of none, mislabel, flip, single-positive, missing, class-dependent" in error.expected
    assert 'Did you mean "mislabel"?' in error.remedy


def test_values_must_fit_together(content: dict[str, Any]) -> None:
    content["training"]["warmup_epochs"] = content["training"]["epochs"] + 1
    assert "warmup_epochs 31 is more than epochs 30" in refused(content).found
    content["training"]["warmup_epochs"] = 1
    content["evaluate"]["medium"] = content["evaluate"]["many"]
    assert "medium 1000 is not below many 1000" in refused(content).found
    content["evaluate"]["medium"] = "auto"
    assert "many is 1000 and medium is auto" in refused(content).found
    content["evaluate"]["many"] = "auto"
    assert parse_params(content).evaluate.many == "auto"
    content["evaluate"]["many"] = 0
    assert refused(content).found == "evaluate.many is 0"
    content["evaluate"]["many"] = "most"
    assert "auto, or a whole number from 1" in refused(content).expected


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("", "is empty", "git checkout params.yaml"),
        ("- a list", "holds no sections", "git checkout params.yaml"),
        ("data: [1, 2", "not readable as YAML", "correct it"),
        ("data: !!int no", "not readable as YAML", "correct it"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, found: str, remedy: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_params(path)
    assert caught.value.where == str(path)
    assert caught.value.found.startswith(found)
    assert caught.value.remedy.endswith(remedy)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.mkdir()
    with pytest.raises(InputError, match=r"params\.yaml: cannot be read: Is a directory"):
        load_params(path)
    path.rmdir()
    path.symlink_to("params.yaml")
    with pytest.raises(InputError, match=r"params\.yaml: cannot be read: Too many levels of symbolic links"):
        load_params(path)


def test_a_section_without_keys_and_a_key_that_is_no_text_are_named(content: dict[str, Any]) -> None:
    content["noise"] = None
    content[5] = 5  # type: ignore[index]
    error = refused(content)
    assert error.found == "section noise is empty; unknown key 5"
    assert (
        error.expected
        == "keys with their values; one of data, noise, audit, pretrain, pseudo, model, training, method, recipes, "
        "evaluate, retrain"
    )
    assert error.remedy == "write noise.kind, noise.rate, noise.matrix, noise.seed below it; rename or remove it"


@pytest.mark.parametrize("key", ["data.path", "data.root", "noise.matrix", "model.weights"])
def test_a_path_with_a_null_character_is_refused(content: dict[str, Any], key: str) -> None:
    section, _, name = key.partition(".")
    content[section][name] = "a\0b"
    assert refused(content).found == f"{key} is 'a\\x00b'"


def test_small_numbers_are_read_as_dvc_writes_them(tmp_path: Path, content: dict[str, Any]) -> None:
    # DVC writes 0.00001 as 1e-05 into dvc.lock, which YAML 1.1 calls text.
    assert parse_yaml("[1e-05, 1E5, -2.5e+3, .5e-1, 1e, e5]") == [1e-5, 1e5, -2500, 0.05, "1e", "e5"]
    assert apply_edits(content, ["training.learning_rate=1e-3"])["training"]["learning_rate"] == 1e-3


def test_numbers_and_truths_are_those_of_yaml_1_2_as_dvc_reads_them() -> None:
    from dvc.utils.serialize import parse_yaml as read_by_dvc

    text = "[020, 0o17, 0x1F, -5, +3, 0, yes, on, No, true, FALSE, 12e03, 1.5, 1., -.5, .inf, -.INF, '020', 1e-05, ~]"
    assert parse_yaml(text) == read_by_dvc(text, "text")
    assert parse_yaml("[020, yes, 1:30]") == [20, "yes", "1:30"]


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("data:\n  seed: 0\n  path: x\n  seed: 1\n")
    with pytest.raises(InputError, match=r"seed is duplicated.*line 4"):
        load_params(path)


def test_an_edit_whose_value_is_no_yaml_is_refused(content: dict[str, Any]) -> None:
    # A byte of the command line that is no text.
    with pytest.raises(InputError, match=r"is not readable as YAML"):
        apply_edits(content, ["noise.kind=\udc80"])
    with pytest.raises(InputError, match=r"^--set data.path=\[x: \[x is not readable as YAML"):
        apply_edits(content, ["data.path=[x"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_params(tmp_path / "params.yaml")


def test_edits_change_a_copy_and_keep_types(content: dict[str, Any]) -> None:
    before = copy.deepcopy(content)
    edited = apply_edits(content, ["noise.rate=0.2", "training.recipe=bce", "method.clean=false", "model.weights=none"])
    assert content == before
    assert (edited["noise"]["rate"], edited["training"]["recipe"], edited["method"]["clean"]) == (0.2, "bce", False)
    assert parse_params(edited).model.weights == "none"


@pytest.mark.parametrize(
    ("edit", "found", "hint"),
    [
        ("noise.rat=0.2", "unknown key noise.rat", 'Did you mean "noise.rate"?'),
        ("noise.rate", "no '=' in it", "correct it."),
        ("=3", "unknown key ", "correct it."),
    ],
)
def test_an_edit_that_names_no_key_is_refused(content: dict[str, Any], edit: str, found: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        apply_edits(content, [edit])
    assert caught.value.where == f"--set {edit}"
    assert caught.value.found == found
    assert hint in caught.value.remedy
