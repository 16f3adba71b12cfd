"""Long-tailed tables hold what they say, and the runs on them end in a table of errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import long_tail, long_tail_runs
from bmix.data.manifest import Manifest
from bmix.params import Params
from bmix.support.errors import InputError
from tests.helpers.projects import REPOSITORY
from tests.helpers.tiny import write_params

NAMES = ("cat", "dog", "ship")


def write_pictures(folder: Path, each: int) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for k, name in enumerate(NAMES):
            (folder / split / name).mkdir(parents=True)
            for number in range(each):
                pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
                pixels[..., k] += 100
                Image.fromarray(pixels).save(folder / split / name / f"{number:04d}.jpg")


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> pd.DataFrame:
    places = [str(tmp_path / "pictures"), str(tmp_path / "tables")]
    monkeypatch.setattr("sys.argv", ["long_tail", *places, "--ratio", "4", *options])
    long_tail.main()
    return pd.read_csv(tmp_path / "tables/4.csv", keep_default_na=False)


def test_the_tail_is_the_published_one() -> None:
    assert long_tail.tail(5000, 100, 10) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert long_tail.tail(16, 4, 3) == [16, 8, 4]


@pytest.mark.parametrize("balanced", [False, True])
def test_no_picture_is_used_twice_and_the_pool_has_no_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balanced: bool
) -> None:
    write_pictures(tmp_path / "pictures", each=40)
    sizes = ["--most", "8", "--pool", "2", "--val", "3", "--test", "5"]
    table = make(tmp_path, monkeypatch, *sizes, *(["--balanced"] if balanced else []))
    assert table["path"].is_unique
    assert table["true"].tolist() == [path.split("/")[1] for path in table["path"]]
    counts = table.groupby(["split", "true"]).size()
    assert [counts["train", name] for name in NAMES] == [8, 4, 2]
    assert [counts["unlabelled", name] for name in NAMES] == ([9, 9, 9] if balanced else [16, 8, 4])
    assert [counts["val", name] for name in NAMES] == [3, 3, 3]
    assert [counts["test", name] for name in NAMES] == [5, 5, 5]
    assert (table["labels"] == table["true"].where(table["split"] != "unlabelled", "")).all()
    assert table["path"].str.startswith("test/").tolist() == (table["split"] == "test").tolist()


def test_more_pictures_than_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "pictures", each=20)
    with pytest.raises(InputError, match=r"(?s)8 training, 16 unlabelled and 3 validation pictures of cat.*at most 20"):
        make(tmp_path, monkeypatch, "--most", "8", "--pool", "2", "--val", "3")


def make_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with pictures, a table of ratio 4, params.yaml and the presets."""
    write_pictures(folder / "pictures", each=40)
    make(folder, monkeypatch, "--most", "12", "--pool", "1", "--val", "4", "--test", "6")
    monkeypatch.chdir(folder)
    write_params(Path())
    shutil.copytree(REPOSITORY / "params", "params")


def test_runs_are_kept_and_end_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(tmp_path, monkeypatch)
    monkeypatch.setenv("BMIX_WORKERS", "0")
    results = tmp_path / "results.jsonl"
    arguments = [
        "runs",
        str(tmp_path / "pictures"),
        str(tmp_path / "tables"),
        str(results),
        "--ratio",
        "4",
        "--seeds",
        "0",
    ]
    edits = [
        "training.epochs=2",
        "training.warmup_epochs=1",
        "pretrain.epochs=1",
        "data.image_size=16",
        "pseudo.present=0.1",
        "pseudo.absent=0.0",
    ]
    monkeypatch.setattr("sys.argv", [*arguments, *(part for edit in edits for part in ("--set", edit))])
    long_tail_runs.main()
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["method"] for line in lines] == list(long_tail_runs.METHODS)
    assert lines[2]["labelled"] == lines[2]["of"] == 21
    assert all(0 <= line["test"] <= 100 for line in lines)
    told = capsys.readouterr().out.splitlines()
    gain = lines[0]["test"] - lines[1]["test"]
    assert told[-2] == f"| from rotation | {lines[1]['test']:.1f} | {gain:+.1f} |"
    long_tail_runs.main()
    assert len(results.read_text().splitlines()) == 3
    assert capsys.readouterr().out.splitlines()[-4:] == told[-4:]


def test_other_edits_are_other_runs_of_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(tmp_path, monkeypatch)
    trained: list[Params] = []

    def run_one(params: Params, manifest: Manifest, method: str) -> dict[str, float]:
        trained.append(params)
        return {"val": 50.0, "test": 40.0 - len(trained)}

    monkeypatch.setattr(long_tail_runs, "run_one", run_one)
    arguments = ["runs", "pictures", "tables", "results.jsonl", "--ratio", "4", "--seeds", "0", "1"]
    arguments += ["--methods", "cross-entropy"]
    for edits in ([], ["--set", "training.epochs=50"], []):
        monkeypatch.setattr("sys.argv", [*arguments, *edits])
        long_tail_runs.main()
    assert [params.training.epochs for params in trained] == [40, 40, 50, 50]
    assert {params.data.augment for params in trained} == {"randaugment-flip"}
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| cross-entropy")]
    assert told == ["| cross-entropy | 38.5 ± 0.5 |  |", "| cross-entropy | 36.5 ± 0.5 |  |", told[0]]
