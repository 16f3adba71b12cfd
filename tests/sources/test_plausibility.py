from __future__ import annotations

import pandas as pd
import pytest

from bmix.data.manifest import COLUMNS, Manifest
from bmix.sources.plausibility import is_odd, look_alikes, refuse_implausible, refuse_twins, visible, warned
from bmix.support.errors import InputError

ROWS = [("train", ["cat"]), ("train", ["dog"]), ("train", []), ("test", ["cat"]), ("test", [])]


def manifest(
    rows: list[tuple[str, list[str]]],
    classes: list[str],
    ignore: dict[int, list[str]] | None = None,
    classes_listed: bool = False,
) -> Manifest:
    cells = [
        [f"{n}", f"{n}.jpg", split, labels, (ignore or {}).get(n, []), ""] for n, (split, labels) in enumerate(rows)
    ]
    return Manifest(pd.DataFrame(cells, columns=COLUMNS), classes, classes_listed=classes_listed)


def renamed(cat: str, dog: str, **options: bool) -> Manifest:
    name_of = {"cat": cat, "dog": dog}
    rows = [(split, [name_of[name] for name in labels]) for split, labels in ROWS]
    return manifest(rows, [cat, dog], **options)


def refusal(one: Manifest) -> InputError:
    with pytest.raises(InputError) as caught:
        refuse_implausible(one, "labels.csv")
    return caught.value


def test_a_sound_manifest_is_accepted() -> None:
    refuse_implausible(renamed("cat", "dog"), "labels.csv")


@pytest.mark.parametrize(
    ("cat", "dog"), [("0", "1"), ("True", "False"), ("yes", "no"), ("1.0", "0.0"), ("010", "110"), ("Y", "N")]
)
def test_values_as_names_are_refused_unless_they_are_listed(cat: str, dog: str) -> None:
    error = refusal(renamed(cat, dog))
    assert error.where == "labels.csv"
    assert error.found == f'the classes would be called "{cat}", "{dog}"'
    assert "data.classes" in error.remedy
    refuse_implausible(renamed(cat, dog, classes_listed=True), "labels.csv")


@pytest.mark.parametrize(("cat", "dog"), [("0", "7"), ("1", "2"), ("no", "dog"), ("100", "20")])
def test_several_numbers_and_single_words_are_names(cat: str, dog: str) -> None:
    refuse_implausible(renamed(cat, dog), "labels.csv")


@pytest.mark.parametrize("name", ["['cat'", "cat]", "'cat'", "b'cat'", '"cat"', "cat\nowl", "(cat", "{cat}", "u'cat"])
def test_remains_of_a_list_or_of_quotes_are_refused_unless_they_are_listed(name: str) -> None:
    error = refusal(renamed(name, "dog"))
    assert "as the name of a class" in error.found
    assert visible(name) in error.found
    refuse_implausible(renamed(name, "dog", classes_listed=True), "labels.csv")


@pytest.mark.parametrize(
    "name", ["it's", "rock 'n' roll", "dog (brown)", "hot dog", "t-shirt", "C++", "bird", "rain", "Käfer", "007", "猫"]
)
def test_ordinary_names_are_not_odd(name: str) -> None:
    assert not is_odd(name)


def test_a_class_that_every_training_image_shows_or_ignores_is_refused() -> None:
    always = manifest([("train", ["cat", "dog"]), ("train", ["cat"]), ("test", [])], ["cat", "dog"])
    error = refusal(always)
    assert error.found.startswith('no training image that is known not to show "cat": ')
    ignored = manifest([("train", ["cat"]), ("train", ["dog"]), ("test", ["cat"])], ["cat", "dog"], {1: ["cat"]})
    assert '"cat"' in refusal(ignored).found
    assert "data.minus_one or data.blank_cell to absent" in error.remedy


def test_where_objects_are_annotated_one_class_may_be_on_every_image_and_not_all() -> None:
    rows = [("train", ["cat", "dog"]), ("train", ["cat"]), ("test", ["cat"]), ("test", ["dog"])]
    refuse_implausible(manifest(rows, ["cat", "dog"]), "voc", may_be_everywhere=True)
    assert warned(manifest(rows, ["cat", "dog"])).notes == {"always present in train": '"cat": nothing to learn'}
    with pytest.raises(InputError, match="no training image that is known not to show"):
        refuse_implausible(manifest([("train", ["cat"])] * 2, ["cat"]), "voc", may_be_everywhere=True)


def test_a_single_training_image_is_refused() -> None:
    assert refusal(manifest([("train", ["cat"]), ("test", ["cat"])], ["cat"])).found == "one image in split train"


def test_a_split_to_evaluate_without_a_positive_is_refused() -> None:
    error = refusal(manifest([*ROWS, ("val", []), ("val", [])], ["cat", "dog"]))
    assert error.found == "no label on any of the 2 images of split val"
    assert "unlabelled" in error.remedy
    refuse_implausible(manifest([*ROWS, ("unlabelled", [])], ["cat", "dog"]), "labels.csv")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("cat", "Cat"),
        ("hot dog", "hot  dog"),
        ("hotdog", "hot dog"),
        ("Ka\u0308fer", "Käfer"),
        ("cat", "cat\u200b"),
        ("cat", "\ufeffcat"),
        ("straße", "STRASSE"),
        ("cat", "ｃａｔ"),
    ],
)
def test_names_that_look_alike_are_found(first: str, second: str) -> None:
    assert look_alikes([first, "owl", second]) == [[first, second]]


def test_look_alikes_are_noted_with_what_cannot_be_seen() -> None:
    note = warned(renamed("Ka\u0308fer", "Käfer")).notes["look alike"]
    assert '"Ka\\u0308fer" and "Käfer"' in note
    assert visible("cat\u200b dog") == "cat\\u200b dog"


def test_a_class_on_every_image_of_a_test_split_is_noted() -> None:
    noted = warned(manifest([*ROWS, ("val", ["cat"])], ["cat", "dog"])).notes
    assert noted == {"always present in val": '"cat": average precision is 1 whatever the model says'}
    assert warned(renamed("cat", "dog")).notes == {}


def test_a_class_that_may_mean_no_label_is_noted_if_it_is_never_beside_another() -> None:
    rows = [*ROWS, ("train", ["No Finding"])]
    note = warned(manifest(rows, ["cat", "dog", "No Finding"])).notes["no label"]
    assert note.startswith('"No Finding": never beside another label')
    beside = [*rows, ("train", ["cat", "No Finding"])]
    assert "no label" not in warned(manifest(beside, ["cat", "dog", "No Finding"])).notes


def test_a_class_in_other_letters_in_train_is_named_instead_of_a_class_without_a_positive() -> None:
    rows = [("train", ["Cat"]), ("train", ["dog"]), ("val", ["cat"])]
    with pytest.raises(InputError) as caught:
        refuse_twins(manifest(rows, ["Cat", "cat", "dog"]), "photos")
    assert caught.value.found == 'no positive in split train for "cat", but for "Cat"'
    refuse_twins(manifest([*rows, ("train", ["cat"])], ["Cat", "cat", "dog"]), "photos")


def test_remedies_name_cells_only_where_labels_are_in_cells() -> None:
    for one in (renamed("0", "1"), manifest([("train", ["cat"])] * 2, ["cat"])):
        with pytest.raises(InputError) as caught:
            refuse_implausible(one, "photos", in_cells=False)
        assert not {"cell", "column"} & set(caught.value.remedy.split())
