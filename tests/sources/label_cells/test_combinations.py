from __future__ import annotations

import itertools

import pytest

from bmix.sources.label_cells.combinations import joined_at, refuse_combinations, refuse_two_delimiters
from bmix.support.errors import InputError

COCO = [
    "person", "car", "bus", "train", "traffic light", "fire hydrant", "stop sign", "parking meter", "bird", "dog",
    "bear", "teddy bear", "sports ball", "baseball bat", "baseball glove", "tennis racket", "wine glass", "hot dog",
    "cell phone", "orange", "apple", "potted plant", "dining table", "hair drier", "toothbrush", "cake", "donut",
    "tv", "bed", "bowl",
]  # fmt: skip


def refusal(names: list[str]) -> InputError:
    with pytest.raises(InputError) as caught:
        refuse_combinations(names, "labels.csv")
    return caught.value


@pytest.mark.parametrize(
    ("sign", "word"),
    [
        (" ", "space"),
        ("/", '"/"'),
        (" + ", '"+"'),
        ("&", '"&"'),
        ("\n", "newline"),
        ("\t", "tab"),
        ("_", '"_"'),
        ("、", '"、"'),
        (" and ", '" and "'),
    ],
)
def test_names_whose_parts_are_names_are_refused_with_the_delimiter_to_set(sign: str, word: str) -> None:
    error = refusal(["cat", f"dog{sign}cat", "dog", "owl"])
    assert f"set data.delimiter to {word}; where each is one name, set data.delimiter to none" in error.remedy
    assert 'beside "cat", "dog"' in error.found


def test_the_case_of_letters_hides_nothing() -> None:
    assert refusal(["cat", "Dog", "Cat dog"]).found.endswith('"Cat dog" beside "cat", "Dog"')
    refuse_combinations(["Cat", "cat", "CAT"], "labels.csv")


def test_combinations_are_found_where_no_part_stands_alone() -> None:
    tags = ["clear", "primary", "road", "water", "haze", "cultivation"]
    pairs = [f"{first} {second}" for first, second in itertools.combinations(tags, 2)]
    assert "15 names made of 6 parts" in refusal(pairs).found
    assert "the same parts in another order" in refusal(["rust scab", "scab rust", "healthy"]).found
    assert "data.delimiter to space" in refusal([f"{a} {b}" for a, b in itertools.combinations("0123456", 2)]).remedy


@pytest.mark.parametrize("glued", ["catdog", "dogcat"])
def test_names_written_together_are_refused(glued: str) -> None:
    error = refusal(["cat", "dog", glued])
    assert f'"{glued}" beside' in error.found
    assert error.remedy.startswith("write the names of a cell apart")


@pytest.mark.parametrize(
    "names",
    [
        COCO,
        ["traffic", "traffic light"],
        [str(number) for number in range(120)],
        ["1", "5", "1.5", "10-20", "10", "20"],
        ["C", "C++", "t-shirt", "shirt"],
        ["maple_tree", "oak_tree", "palm_tree", "aquarium_fish", "flatfish", "bee", "beetle"],
        ["Norwich terrier", "Norfolk terrier", "Irish terrier", "golden retriever", "flat-coated retriever"],
        ["red car", "blue car", "red bus"],
        ["cat"],
        [],
    ],
)
def test_names_that_are_whole_pass(names: list[str]) -> None:
    refuse_combinations(names, "labels.csv")


def test_a_second_delimiter_beside_one_that_was_found_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        refuse_two_delimiters(["cat", "dog", "cat,dog"], ";", [";", "|", ","], "labels.csv")
    assert caught.value.found == '";" between the names, and "cat,dog" beside "cat", "dog"'
    refuse_two_delimiters(["hot", "dog", "hot dog", "cat, black"], ";", [";", "|", ","], "labels.csv")


def test_the_sign_that_joins_known_names_is_found() -> None:
    assert joined_at("cat dog", {"cat", "dog"}) == " "
    assert joined_at("cat/dog", {"cat", "dog"}) == "/"
    assert joined_at("cat cow", {"cat", "dog"}) is None
    assert joined_at("cat", {"cat", "dog"}) is None
