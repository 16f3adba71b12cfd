"""What makes two runs the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from bmix.support.errors import InputError
from bmix.tracking.identity import FACTS, LABELS, MANIFEST, code_digest, data_digest


def edited(path: Path, column: str, row: int, value: Any) -> None:
    frame = pd.read_parquet(path)
    values = frame[column].tolist()
    values[row] = value
    write(path, frame.assign(**{column: values}))


def write(path: Path, frame: pd.DataFrame, **options: Any) -> None:
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    parquet.write_table(table, path, **options)


@pytest.mark.parametrize(
    ("path", "column", "value"),
    [
        (MANIFEST, "id", "other"),
        (MANIFEST, "split", "test"),
        (MANIFEST, "labels", ["ant", "bee"]),
        (MANIFEST, "labels", ["antbee"]),
        (MANIFEST, "ignore", ["bee"]),
        (LABELS, "given", []),
        (LABELS, "true", ["cat (wild)"]),
        (LABELS, "true", None),
    ],
)
def test_other_labels_are_other_data(project: Path, path: Path, column: str, value: Any) -> None:
    before = data_digest()
    edited(path, column, 3, value)
    assert data_digest() != before


def test_rows_do_not_run_into_one_another(project: Path) -> None:
    digests = set()
    for first, second in ((["a", "b"], []), (["a"], ["b"]), ([], ["a", "b"]), (["ab"], []), (["a", ""], ["b"])):
        edited(LABELS, "given", 0, first)
        edited(LABELS, "given", 1, second)
        digests.add(data_digest())
    assert len(digests) == 5


def test_other_images_are_other_data(project: Path) -> None:
    before = data_digest()
    facts = json.loads(FACTS.read_text())
    FACTS.write_text(json.dumps(facts | {"membership": {**facts["membership"], "train": "0" * 16}}))
    assert data_digest() != before


def test_how_a_file_is_written_is_not_what_it_says(project: Path) -> None:
    before = data_digest()
    for path in (MANIFEST, LABELS):
        write(path, pd.read_parquet(path).assign(further=1), row_group_size=7, compression="none", use_dictionary=False)
    assert data_digest() == before


def test_data_that_is_not_there_is_named(project: Path) -> None:
    LABELS.unlink()
    with pytest.raises(InputError, match=r"data/noisy/labels.parquet: no such file\n(.|\n)*dvc checkout"):
        data_digest()


def test_code_is_what_dvc_locked_of_it() -> None:
    def stage(**paths: str) -> dict[str, Any]:
        return {"deps": [{"path": path.replace("_", "/"), "hash": "md5", "md5": md5} for path, md5 in paths.items()]}

    first = code_digest([stage(bmix_data="1", stages_train="2"), stage(bmix_data="1")])
    assert code_digest([stage(stages_train="2"), stage(bmix_data="1", data_prepared="9")]) == first
    assert code_digest([stage(stages_train="2"), stage(bmix_data="3")]) != first
    assert code_digest([stage(stages_train="2"), stage(bmix_data="1", bmix_models="4")]) != first
    assert code_digest([stage(stages_train="2"), stage(bmix_data="1", bmixer_models="4")]) == first
