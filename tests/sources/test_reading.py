from __future__ import annotations

from pathlib import Path

import pandas as pd

from bmix.data.manifest import COLUMNS, FEATURES_FILE, Manifest
from bmix.params import DataParams, load_params
from bmix.sources.reading import Reading
from tests.helpers.tiny import write_params

ROWS = [
    ["1", "a.jpg", "train", ["cat", "dog"], [], ""],
    ["2", "b.jpg", "train", [], ["cat"], ""],
    ["3", "c.jpg", "test", ["dog"], [], ""],
    ["4", "d.jpg", "unlabelled", [], [], ""],
]


def data(folder: Path, source: str) -> DataParams:
    edits = [f"data.source={source}", "data.path=labels.csv", "data.root=img"]
    return load_params(write_params(folder, *edits)).data


def test_the_reading_names_form_files_splits_classes_labels_and_every_note(tmp_path: Path) -> None:
    notes = {"labels": 'names joined by ";"', "left out": "2 rows", "overlap": "one image is in more than one split"}
    manifest = Manifest(pd.DataFrame(ROWS, columns=COLUMNS), ["cat", "do\u200bg"], notes)
    assert str(Reading.of(manifest, data(tmp_path, "table"))) == (
        'table labels.csv: names joined by ";"\n'
        "  images: 4, in 4 files below img\n"
        "  splits: train 2, test 1, unlabelled 1\n"
        '  classes: 2: "cat", "do\\u200bg"\n'
        "  labels: 1.00 an image, at most 2; 1 without any; 1 ignored\n"
        "  left out: 2 rows\n"
        "  warning: overlap: one image is in more than one split"
    )


def test_rows_of_features_and_made_images_are_called_so(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    features = Manifest(frame.assign(path=FEATURES_FILE), ["cat", "dog"])
    assert Reading.of(features, data(tmp_path, "features")).lines[1] == "  images: 4 rows of numbers"
    made = Reading.of(Manifest(frame, ["cat", "dog"]), data(tmp_path, "digits"))
    assert made.lines[1] == "  images: 4, which prepare writes"
