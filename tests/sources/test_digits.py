from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from bmix.sources.digits import HeldOut, compose, draw_digit, place_boxes, read_scene_settings, split_originals
from bmix.support.errors import InputError

DEFAULT = Path(__file__).parents[2] / "data" / "digits" / "scenes.yaml"
SPLITS = {"train": 700, "val": 40, "test": 30, "test-balanced": 50}


def write_recipe(path: Path, **changes: object) -> Path:
    content = yaml.safe_load(DEFAULT.read_text(encoding="utf-8")) | {"scenes": SPLITS} | changes
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    frame, classes = compose(write_recipe(folder / "recipe.yaml"), 3, 48, folder / "images")
    return frame, classes, folder / "images"


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


@pytest.mark.slow
def test_every_row_has_its_picture(scenes):
    frame, classes, folder = scenes
    assert classes == [str(digit) for digit in range(10)]
    assert list(frame.columns) == ["id", "path", "split", "labels", "ignore"]
    assert frame.groupby("split").size().to_dict() == SPLITS
    assert frame["id"].is_unique
    row = frame.iloc[17]
    assert (row["id"], row["path"], row["split"]) == ("train-00017", "train/00017.png", "train")
    assert sorted(frame["path"]) == sorted(read_all(folder))
    for path in frame["path"][::50]:
        with Image.open(folder / path) as picture:
            assert (picture.mode, picture.size) == ("L", (48, 48))


def test_scenes_show_one_to_three_distinct_digits(scenes):
    frame, classes, _ = scenes
    for labels, ignore in zip(frame["labels"], frame["ignore"], strict=True):
        assert 1 <= len(labels) <= 3
        assert labels == sorted(set(labels))
        assert set(labels) <= set(classes)
        assert ignore == []
    assert {len(labels) for labels in frame["labels"]} == {1, 2, 3}


def positives(frame, split: str) -> list[int]:
    labels = frame.loc[frame["split"] == split, "labels"]
    return [sum(str(digit) in row for row in labels) for digit in range(10)]


def test_training_is_long_tailed_and_no_split_lacks_a_class(scenes):
    frame = scenes[0]
    counts = positives(frame, "train")
    assert max(counts) / min(counts) >= 30
    assert counts[0] > counts[2] > counts[5] > counts[9]
    assert all(min(positives(frame, split)) >= 1 for split in SPLITS)


def test_every_class_is_equally_frequent_in_the_balanced_test(scenes):
    counts = positives(scenes[0], "test-balanced")
    assert len(set(counts)) == 1
    assert counts[0] >= 5


def test_default_recipe_has_the_promised_size_and_imbalance(tmp_path):
    recipe = read_scene_settings(DEFAULT)
    assert recipe.scenes.model_dump(by_alias=True) == {"train": 4000, "val": 800, "test": 1600, "test-balanced": 1600}
    # Presence by a plain simulation of weighted draws without replacement.
    rng = np.random.default_rng(0)
    weights = recipe.fall ** (-np.arange(10) / 9)
    present = np.zeros(10)
    for _ in range(4000):
        count = rng.choice(len(recipe.digits), p=recipe.digits) + 1
        present[rng.choice(10, size=count, replace=False, p=weights / weights.sum())] += 1
    assert 33 < present[0] / present[9] < 110


@pytest.mark.slow
def test_same_seed_same_bytes_and_another_seed_other_scenes(scenes, tmp_path):
    frame, _, folder = scenes
    small = write_recipe(tmp_path / "recipe.yaml", scenes=dict.fromkeys(SPLITS, 20))
    again, _ = compose(small, 3, 48, tmp_path / "again")
    other, _ = compose(small, 4, 48, tmp_path / "other")
    # A scene depends on its own place alone, so fewer scenes are the first of more.
    pictures, full = read_all(tmp_path / "again"), read_all(folder)
    assert len(pictures) == 80
    assert all(full[path] == content for path, content in pictures.items())
    expected = frame[frame["path"].isin(pictures)].reset_index(drop=True)
    assert again.equals(expected)
    assert not any(pictures[path] == content for path, content in read_all(tmp_path / "other").items())
    assert not other["labels"].equals(again["labels"])


def test_composing_replaces_what_the_folder_held(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "old.png").write_bytes(b"old")
    compose(write_recipe(tmp_path / "recipe.yaml", scenes=dict.fromkeys(SPLITS, 10)), 0, 32, folder)
    assert len(read_all(folder)) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "recipe.yaml"]


@pytest.mark.parametrize("seed", [0, 1])
def test_originals_of_training_are_used_nowhere_else(seed):
    targets_N = load_digits().target
    pools = split_originals(targets_N, HeldOut(val=0.15, test=0.25), seed)
    used = [int(original) for pool in pools.values() for originals in pool for original in originals]
    assert sorted(used) == list(range(1797))
    for digit in range(10):
        total = int((targets_N == digit).sum())
        assert all((targets_N[pool[digit]] == digit).all() for pool in pools.values())
        assert len(pools["val"][digit]) == round(0.15 * total)
        assert len(pools["test"][digit]) == round(0.25 * total)


def test_splits_draw_from_their_own_originals(tmp_path, monkeypatch):
    # Every original becomes a plain box of a brightness that tells its split.
    digits = load_digits()
    pools = split_originals(digits.target, HeldOut(val=0.15, test=0.25), 5)
    brightness = {"train": 4, "val": 8, "test": 16}
    for split, pool in pools.items():
        digits.images[np.concatenate(pool)] = brightness[split]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: digits)
    plain = {"contrast": [1.0, 1.0], "background": [0.0, 0.0], "strokes": [0, 0], "grain": 0.0, "turn": 0.0}
    recipe = write_recipe(tmp_path / "recipe.yaml", scenes=dict.fromkeys(SPLITS, 20), **plain)
    frame, _ = compose(recipe, 5, 48, tmp_path / "images")
    for split, path in zip(frame["split"], frame["path"], strict=True):
        with Image.open(tmp_path / "images" / path) as picture:
            middle = np.median([value for value in np.asarray(picture).ravel() if value])
        assert middle == pytest.approx(brightness[split.partition("-")[0]] / 16 * 255, abs=1)


@settings(max_examples=60, deadline=None)
@given(
    side=st.integers(24, 80),
    shares=st.lists(st.floats(0.2, 1), min_size=1, max_size=9),
    overlap=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_boxes_lie_inside_and_barely_overlap(side, shares, overlap, seed):
    room = side // int(np.ceil(np.sqrt(len(shares))))
    sizes = [max(1, int(share * room)) for share in shares]
    corners = place_boxes(sizes, side, overlap, np.random.default_rng(seed))
    covered = []
    for size, (left, top) in zip(sizes, corners, strict=True):
        assert left >= 0
        assert top >= 0
        assert left + size <= side
        assert top + size <= side
        covered.append({(x, y) for x in range(left, left + size) for y in range(top, top + size)})
    for one, other in combinations(covered, 2):
        shared = one & other
        if shared:
            width = len({x for x, _ in shared})
            height = len({y for _, y in shared})
            assert min(width, height) <= overlap


def test_an_upright_digit_keeps_its_shape():
    original = load_digits().images[0] / 16
    drawn = draw_digit(original, 40, 0.0)
    # Every pixel of the original covers 5 × 5 of the enlarged one.
    means = drawn.reshape(8, 5, 8, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(means, original, atol=0.15)


@pytest.mark.parametrize("degrees", [-15.0, 15.0])
def test_a_turned_digit_loses_no_ink(degrees):
    for original in load_digits().images[:50] / 16:
        angle = np.radians(degrees)
        scale = (8 * np.cos(angle) + 6 * abs(np.sin(angle))) / 40
        drawn = draw_digit(original, 40, degrees)
        assert drawn.sum() * scale**2 == pytest.approx(original.sum(), rel=0.08)


def test_positive_turns_go_against_the_clock():
    bar = np.zeros((8, 8))
    bar[:, 3:5] = 1
    drawn = draw_digit(bar, 40, 20.0)
    across = np.arange(40)
    top, bottom = ((drawn[rows] * across).sum() / drawn[rows].sum() for rows in (slice(0, 10), slice(30, 40)))
    assert top < bottom


@pytest.mark.slow
def test_strokes_never_touch_a_digit(tmp_path):
    plain = {"contrast": [0.5, 0.5], "background": [0.0, 0.0], "grain": 0.0, "scenes": dict.fromkeys(SPLITS, 10)}
    compose(write_recipe(tmp_path / "none.yaml", strokes=[0, 0], **plain), 0, 48, tmp_path / "none")
    compose(write_recipe(tmp_path / "many.yaml", strokes=[20, 20], **plain), 0, 48, tmp_path / "many")
    for path in read_all(tmp_path / "none"):
        with Image.open(tmp_path / "none" / path) as clean, Image.open(tmp_path / "many" / path) as crossed:
            digits, both = np.asarray(clean).astype(int), np.asarray(crossed).astype(int)
        near = np.zeros_like(digits, dtype=bool)
        for row, column in np.argwhere(digits > 64):
            near[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        np.testing.assert_array_equal(both[near], digits[near])
        assert (both[~near] > digits[~near]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fal": 60}, "fal is 60"),
        ({"fall": 0.5}, "fall is 0.5"),
        ({"digits": [0.5, 0.4]}, "sum to 0.9 instead of 1"),
        ({"size": [0.4, 0.3]}, "size runs from 0.4 to 0.3: the smaller value comes first"),
        ({"size": [0.3, 0.6]}, "3 digits find room up to 0.5"),
        ({"scenes": SPLITS | {"val": 5}}, "scenes.val is 5"),
        ({"scenes": SPLITS | {"test-balanced": 25}}, "scenes.test-balanced is 25"),
        ({"scenes": SPLITS | {"test-rare": 20}}, "scenes.test-rare is 20"),
        ({"held_out": {"val": 0.1}}, "held_out.test"),
        ({"grain": float("nan")}, "grain is nan"),
    ],
)
def test_wrong_recipes_are_refused_with_file_and_key(tmp_path, changes, message):
    path = write_recipe(tmp_path / "recipe.yaml", **changes)
    with pytest.raises(InputError) as caught:
        read_scene_settings(path)
    assert caught.value.where == str(path)
    assert message in str(caught.value)
    with pytest.raises(InputError):
        compose(path, 0, 48, tmp_path / "images")
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("a: [", "not readable as YAML"),
        ("!!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("- 1", "recipe.yaml: holds no keys\n  expected: the keys scenes, held_out"),
        ("", "recipe.yaml: is empty\n"),
    ],
)
def test_files_that_are_no_recipe_are_refused(tmp_path, content, message):
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_scene_settings(path)
    assert caught.value.where == str(path)
