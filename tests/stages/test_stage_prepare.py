from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from bmix.data.manifest import read_manifest
from bmix.data.noisy import write_labels
from bmix.labels.answers import Answer
from bmix.labels.apply import apply_changes
from bmix.labels.changes import changes_of
from bmix.labels.run import LabelledRun
from bmix.params import load_params
from bmix.pipeline.data_check import check_data
from bmix.support.errors import InputError
from bmix.support.files import read_json
from stages.prepare import main
from tests.helpers.tiny import REPOSITORY, read_written, write_params, write_table, write_voc

PREPARED = Path("data/prepared")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def use_table(*edits: str) -> None:
    write_table(Path("mine"))
    write_params(Path(), "data.source=table", "data.path=mine/labels.csv", "data.root=mine/images", *edits)


def test_a_table_is_prepared(capsys: pytest.CaptureFixture[str]) -> None:
    use_table("evaluate.many=20", "evaluate.medium=15")
    main()
    written = read_written(PREPARED)
    assert sorted(written) == ["classes.json", "classes.png", "facts.json", "manifest.parquet"]
    assert written["classes.json"] == ["bird", "cat", "dog", "fish"]
    facts, manifest = written["facts.json"], read_manifest(PREPARED)
    assert facts["images"] == {split: len(manifest.rows(split)) for split in ("train", "val", "test")}
    for name, count in zip(manifest.classes, manifest.labels("train").sum(0), strict=True):
        assert facts["classes"][name]["positives"]["train"] == count
        assert facts["classes"][name]["group"] == ("many" if count >= 20 else "medium" if count >= 15 else "few")
    assert "imbalance ratio (eq. 12)" in capsys.readouterr().out


def test_the_facts_say_what_a_review_changed_where_its_note_lies_beside_the_table() -> None:
    use_table()
    main()
    assert "review" not in read_json(PREPARED / "facts.json")
    manifest = read_manifest(PREPARED)
    Path("data/noisy").mkdir()
    write_labels(Path("data/noisy"), manifest, manifest.labels("train"), None)
    run = LabelledRun.open(Path())
    row = run.manifest.rows("train").iloc[0]
    name = row["labels"][0]
    changes = changes_of(run, [Answer(row["id"], name, "accept", {name: 0})])
    answers = Path("answers.jsonl")
    answers.touch()
    apply_changes(run, changes, Path("mine/corrected.csv"), answers, {}, "train")
    write_params(Path(), "data.source=table", "data.path=mine/corrected.csv", "data.root=mine/images")
    main()
    review = read_json(PREPARED / "facts.json")["review"]
    assert (review["from"], review["answers"], review["fits"]) == ("labels.csv", "answers.jsonl", True)
    assert review["classes"] == {
        name: {"answer": {"added": 0, "removed": 1, "kept": 0}, "rule": {"added": 0, "removed": 0, "kept": 0}}
    }
    Path("mine/corrected.csv.provenance.json").write_text("{")
    with pytest.raises(InputError, match=r"provenance\.json(.|\n)*remove this note"):
        main()
    with pytest.raises(InputError, match=r"provenance\.json(.|\n)*remove this note"):
        check_data(load_params())


def test_voc_is_prepared() -> None:
    root = write_voc(Path("mine"))
    write_params(Path(), "data.source=voc", f"data.path={root}", f"data.root={root}", "evaluate.split=val")
    main()
    manifest = read_manifest(PREPARED)
    assert manifest.splits() == ["train", "val"]
    assert (root / manifest.paths("val")[0]).is_file()
    assert manifest.ignored("train").any()


def test_digits_are_prepared_with_their_images() -> None:
    recipe = yaml.safe_load((REPOSITORY / "data/digits/scenes.yaml").read_text())
    recipe["scenes"] = {"train": 200, "val": 20, "test": 20, "test-balanced": 20}
    Path("scenes.yaml").write_text(yaml.safe_dump(recipe))
    write_params(Path(), "data.path=scenes.yaml", "data.root=.")
    main()
    manifest = read_manifest(PREPARED)
    assert manifest.splits() == ["train", "val", "test", "test-balanced"]
    assert all((PREPARED / "images" / path).is_file() for path in manifest.frame["path"])
    assert (manifest.frame["digest"].str.len() == 16).all()


def test_two_runs_write_equal_files_and_an_edited_image_changes_the_manifest() -> None:
    use_table()
    main()
    first = read_written(PREPARED)
    main()
    assert read_written(PREPARED) == first
    Image.open("mine/images/a/012.jpg").save("mine/images/a/000.jpg", quality=60)
    main()
    second = read_written(PREPARED)
    assert second.pop("manifest.parquet") != first.pop("manifest.parquet")
    before, after = first["facts.json"].pop("membership"), second["facts.json"].pop("membership")
    assert {split for split in before if before[split] != after[split]} == {"train"}
    assert second == first


def test_after_a_failure_the_last_good_output_stands_and_nothing_else() -> None:
    use_table()
    main()
    before = read_written(PREPARED)
    Path("mine/images/b/001.png").write_bytes(b"spoilt")
    with pytest.raises(InputError, match=r'line 3: "b/001.png" is none of'):
        main()
    assert read_written(PREPARED) == before
    assert [path.name for path in Path("data").iterdir()] == ["prepared"]


def test_the_command_ends_with_status_2_and_plain_lines() -> None:
    use_table()
    with Path("mine/labels.csv").open("a") as table:
        table.write("../secret.jpg,cat,train\n")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "stages.prepare"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "error: mine/labels.csv, line 62: path \"../secret.jpg\" may leave the root by '..'\n"
        "  expected: a path below the folder data.root, with / between folders\n"
        "  fix: write the path relative to data.root, and keep the images inside that folder\n"
    )
    assert not Path("data").exists() or not list(Path("data").iterdir())
