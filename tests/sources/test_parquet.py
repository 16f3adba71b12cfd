from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bmix.params import Params, load_params
from bmix.pipeline.data_check import check_data
from bmix.sources.examine import examine
from bmix.sources.parquet.read import read_parquet
from bmix.support.errors import InputError
from tests.helpers.tiny import write_params

NAMES = ["cat", "dog", "owl"]
FEATURES = {"labels": {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"}}
HUGGING_FACE = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}


def picture(seed: int, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def part(path: Path, seeds: range, **changes: object) -> Path:
    """A file as datasets.Dataset.to_parquet writes it: pictures as structs, labels as numbers of classes."""
    pictures = [{"bytes": picture(seed, "JPEG" if seed % 2 else "PNG"), "path": f"{seed}.x"} for seed in seeds]
    columns = {"image": pictures, "labels": [[seed % 3, 2][: 1 + seed % 2] for seed in seeds]}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns | changes).replace_schema_metadata(HUGGING_FACE), path)
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    part(tmp_path / "set/train-00000-of-00002.parquet", range(6))
    part(tmp_path / "set/train-00001-of-00002.parquet", range(6, 12))
    part(tmp_path / "set/validation-00000-of-00001.parquet", range(12, 18))
    return tmp_path / "set"


def params(folder: Path, *edits: str) -> Params:
    places = ["data.source=parquet", f"data.path={folder}", f"data.root={folder.parent}", "evaluate.split=val"]
    return load_params(write_params(folder.parent / "project", *places, "noise.kind=none", *edits))


def test_shards_become_a_manifest_and_files_with_the_bytes_as_they_are(shards: Path, tmp_path: Path) -> None:
    manifest, reading = examine(params(shards).data, tmp_path / "made")
    assert manifest.classes == NAMES
    assert [len(manifest.rows(split)) for split in ("train", "val")] == [12, 6]
    assert manifest.frame["labels"].tolist()[:4] == [["cat"], ["dog", "owl"], ["owl"], ["cat", "owl"]]
    for seed, path in enumerate(manifest.frame["path"]):
        assert (tmp_path / "made" / path).read_bytes() == picture(seed, "JPEG" if seed % 2 else "PNG")
    assert manifest.frame["path"].iloc[7] == "train-00001-of-00002/2.jpg"
    assert manifest.frame["id"].is_unique
    assert 'pictures in column "image" of 3 files' in reading.lines[0]
    assert "  images: 18, which prepare writes" in reading.lines


def test_the_check_looks_at_every_picture_and_writes_none(shards: Path, tmp_path: Path) -> None:
    unwritten, _ = examine(params(shards).data)
    written, _ = examine(params(shards).data, tmp_path / "made")
    assert unwritten.frame.equals(written.frame)
    before = sorted(tmp_path.rglob("*"))
    check_data(params(shards))
    assert sorted(tmp_path.rglob("*")) == before
    pictures = [{"bytes": picture(seed)[: 100 if seed == 2 else None], "path": ""} for seed in range(6)]
    part(shards / "train-00001-of-00002.parquet", range(6), image=pictures)
    with pytest.raises(InputError) as caught:
        check_data(params(shards))
    assert caught.value.where == f"{shards}/train-00001-of-00002.parquet, row 3"
    assert caught.value.found.startswith("the picture does not decode")
    skipped, _ = examine(params(shards, "data.unreadable=skip", "data.overlap=warn").data, tmp_path / "again")
    assert len(skipped.frame) == 17


def test_one_file_of_bytes_with_a_split_and_names(tmp_path: Path) -> None:
    columns = {
        "image": [picture(seed) for seed in range(6)],
        "tags": ["cat;dog", "cat", "dog", "", "cat", "dog"],
        "split": ["train", "train", "train", "train", "test", "Test"],
        "width": [30] * 6,
    }
    pq.write_table(pa.table(columns), tmp_path / "pets.parquet")
    manifest = read_parquet(tmp_path / "pets.parquet", tmp_path, 0, None)
    assert manifest.frame["split"].tolist() == [*["train"] * 4, "test", "test"]
    assert manifest.frame["path"].tolist() == [f"{row}.png" for row in range(1, 7)]
    assert manifest.classes == ["cat", "dog"]
    assert manifest.notes["left alone"] == 'columns "width"'


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_parquet(path, path.parent, 0, None)
    return caught.value


def test_what_cannot_be_read_is_named(shards: Path, tmp_path: Path) -> None:
    assert "is no parquet file" in refusal(tmp_path / "none.parquet").found
    part(shards / "train-00001-of-00002.parquet", range(6), size=[1] * 6)
    assert refusal(shards).found.startswith("columns that train-00000-of-00002.parquet does not have so")
    path = part(tmp_path / "a.parquet", range(6), image=[{"bytes": picture(0), "path": ""}, *[None] * 5])
    assert (refusal(path).where, refusal(path).found) == (f"{path}, row 2", "no picture")
    assert refusal(part(path, range(6), image=["a.jpg"] * 6)).found.startswith("no column of pictures")
    assert refusal(part(path, range(6), mask=[b"x"] * 6)).found == 'pictures in the columns "image", "mask"'
    path.write_bytes(b"PAR1 but not really")
    assert refusal(path).found.startswith("not readable as parquet")
