from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bmix.sources.table.read import read_table
from tests.helpers.tiny import REPOSITORY


def test_the_lines_that_write_out_the_pictures_of_a_parquet_file_do_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    pictures = []
    for shade in (10, 200):
        content = io.BytesIO()
        Image.new("RGB", (20, 20), (shade, 0, 0)).save(content, "PNG")
        pictures.append({"bytes": content.getvalue(), "path": "x.png"})
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    told = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table({"image": pictures, "label": [1, 0], "split": ["train", "train"]})
    pq.write_table(table.replace_schema_metadata(told), "train.parquet")
    text = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "train.parquet" in block]
    exec(code, {})
    manifest = read_table(Path("labels.parquet"), Path("images"), 0)
    assert manifest.frame["labels"].tolist() == [["dog"], ["cat"]]
    assert [Image.open(Path("images", path)).getpixel((0, 0))[0] for path in manifest.frame["path"]] == [10, 200]  # type: ignore[index]
