from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmix.data.manifest import Manifest, validate
from bmix.sources.class_list import ClassList
from bmix.sources.features.read import FEATURES_FILE, read_features
from bmix.sources.label_cells import CellRules
from bmix.support.errors import InputError
from tests.helpers.features import CLASSES, arrays, table, write_npz


def refusal(path: Path, split_of: dict[str, str] | None = None) -> InputError:
    folder = path.parent / "written"
    with pytest.raises(InputError) as caught:
        read_features(path, split_of or {}, 0, folder)
    assert not folder.exists() or not list(folder.iterdir())
    return caught.value


def test_an_archive_becomes_a_manifest_and_one_file_in_its_order(tmp_path: Path) -> None:
    content = arrays(rows=20)
    path = write_npz(tmp_path / "set.npz", content)
    manifest = read_features(path, {}, 0, tmp_path / "images")
    validate(manifest, str(path))
    written = np.load(tmp_path / "images" / FEATURES_FILE, mmap_mode="r")
    assert written.dtype == np.float32
    assert np.array_equal(written, content["X"])
    assert manifest.classes == list(CLASSES)
    assert manifest.frame["id"].tolist() == content["ids"].tolist()
    assert manifest.frame["split"].tolist() == content["split"].tolist()
    for row, (labels, digest) in enumerate(zip(manifest.frame["labels"], manifest.frame["digest"], strict=True)):
        assert labels == [name for name, cell in zip(CLASSES, content["Y"][row], strict=True) if cell == 1]
        assert digest == hashlib.blake2b(content["X"][row].tobytes(), digest_size=8).hexdigest()
    assert manifest.frame.index[3] == f"{path}, row 4"
    assert manifest.notes["features"] == "3 stored views of 12 numbers, float32"
    first = (tmp_path / "images" / FEATURES_FILE).read_bytes()
    read_features(path, {}, 0, tmp_path / "again")
    assert (tmp_path / "again" / FEATURES_FILE).read_bytes() == first
    unwritten = read_features(path, {}, 0, None)
    pd.testing.assert_frame_equal(unwritten.frame, manifest.frame)


@pytest.mark.parametrize(
    ("given_type", "kept"), [(np.float16, np.float16), (np.float64, np.float32), (np.int32, np.float32)]
)
def test_float16_stays_and_all_else_becomes_float32(tmp_path: Path, given_type: type, kept: type) -> None:
    values: np.ndarray = arrays(rows=20)["X"].astype(given_type)
    read_features(write_npz(tmp_path / "set.npz", arrays(rows=20), X=values), {}, 0, tmp_path)
    written = np.load(tmp_path / FEATURES_FILE)
    assert written.dtype == kept
    assert np.array_equal(written, values.astype(kept))


def test_rows_are_read_by_chunks_and_in_either_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmix.sources.features.npz.CHUNK_BYTES", 1000)
    content = arrays(rows=50)
    path = write_npz(tmp_path / "set.npz", content)
    read_features(path, {}, 0, tmp_path / "rows")
    path = write_npz(tmp_path / "columns.npz", content, X=np.asfortranarray(content["X"]))
    read_features(path, {}, 0, tmp_path / "columns")
    np.savez_compressed(tmp_path / "small.npz", **content)  # type: ignore[arg-type]
    read_features(tmp_path / "small.npz", {}, 0, tmp_path / "small")
    for folder in ("rows", "columns", "small"):
        assert np.array_equal(np.load(tmp_path / folder / FEATURES_FILE), content["X"])


def test_one_view_names_and_ids_have_defaults(tmp_path: Path) -> None:
    content = arrays(rows=20)
    path = write_npz(tmp_path / "set.npz", content, X=content["X"][:, 0], classes=None, ids=None)
    manifest = read_features(path, {}, 0, tmp_path)
    assert manifest.classes == ["0", "1", "2"]
    assert manifest.frame["id"].tolist()[:2] == ["01", "02"]
    assert np.array_equal(np.load(tmp_path / FEATURES_FILE), content["X"][:, :1])


def test_ignored_cells_are_ignored(tmp_path: Path) -> None:
    content = arrays(rows=20)
    content["Y"][4] = (-1, 1, -1)
    manifest = read_features(write_npz(tmp_path / "set.npz", content), {}, 0, None)
    assert manifest.frame["ignore"].iloc[4] == ["loud", "warm"]
    assert manifest.frame["labels"].iloc[4] == ["round"]


def test_an_archive_may_know_what_is_true(tmp_path: Path) -> None:
    content = arrays(rows=20)
    true = content["Y"].copy()
    true[3] = 1 - true[3]
    given = {"given": content["Y"], "Y": None, "true": true}
    manifest = read_features(write_npz(tmp_path / "set.npz", content, **given), {}, 0, None)
    assert manifest.notes["labels"] == "array given"
    expected = [[name for name, cell in zip(CLASSES, row, strict=True) if cell] for row in true]
    assert manifest.frame["true"].tolist() == expected
    error = refusal(write_npz(tmp_path / "b.npz", content, true=true[:, :2]))
    assert (error.where, error.found) == (f"{tmp_path}/b.npz, true", "(20, 2)")


def test_listed_classes_name_the_columns_or_choose_among_them(tmp_path: Path) -> None:
    content = arrays(rows=20)
    unnamed = write_npz(tmp_path / "a.npz", content, classes=None)
    listed = ClassList(["a", "b", "c"], "data.classes")
    assert read_features(unnamed, {}, 0, None, listed=listed).classes == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"data\.classes: 2 classes are listed"):
        read_features(unnamed, {}, 0, None, listed=ClassList(["a", "b"], "data.classes"))
    named = write_npz(tmp_path / "b.npz", content)
    chosen = read_features(named, {}, 0, None, listed=ClassList(["warm", "loud"], "data.classes"))
    assert chosen.classes == ["warm", "loud"]
    assert chosen.notes["left alone"] == 'classes that are not listed: "round"'
    assert [set(names) for names in chosen.frame["labels"]] == [
        {CLASSES[column] for column in (0, 2) if row[column] == 1} for row in content["Y"]
    ]
    with pytest.raises(InputError, match='"cold" is not in classes'):
        read_features(named, {}, 0, None, listed=ClassList(["warm", "cold"], "data.classes"))


def test_minus_one_is_absent_where_nothing_else_is(tmp_path: Path) -> None:
    content = arrays(rows=20)
    content["Y"] = 2 * content["Y"] - 1
    manifest = read_features(write_npz(tmp_path / "set.npz", content), {}, 0, None)
    assert not manifest.frame["ignore"].map(len).any()
    assert manifest.notes["-1"] == "absent, since no label is 0; data.minus_one says otherwise"
    rules = CellRules(minus_one="ignored")
    assert read_features(tmp_path / "set.npz", {}, 0, None, rules=rules).frame["ignore"].map(len).any()


def test_parts_map_to_splits_and_the_others_are_left_out(tmp_path: Path) -> None:
    content = arrays(rows=20)
    path = write_npz(tmp_path / "set.npz", content)
    manifest = read_features(path, {"val": "test", "train": "train"}, 0, tmp_path)
    kept = content["split"] != "test"
    assert manifest.frame["id"].tolist() == content["ids"][kept].tolist()
    assert set(manifest.frame["split"]) == {"train", "test"}
    assert np.array_equal(np.load(tmp_path / FEATURES_FILE), content["X"][kept])
    assert manifest.notes["left out"] == '4 rows of the parts "test", which data.splits does not name'
    assert 'part "trian"' in refusal(path, {"trian": "train"}).found


def test_numbers_as_splits_count_in_their_names(tmp_path: Path) -> None:
    content = arrays(rows=20)
    codes, names = np.arange(20) % 2, np.array(["train", "test"])
    manifest = read_features(write_npz(tmp_path / "a.npz", content, split=codes, split_names=names), {}, 0, None)
    assert manifest.frame["split"].tolist() == ["train", "test"] * 10
    assert "no split_names" in refusal(write_npz(tmp_path / "b.npz", content, split=codes)).found
    error = refusal(write_npz(tmp_path / "c.npz", content, split=codes * 2, split_names=names))
    assert (error.where, error.found) == (f"{tmp_path}/c.npz, split, row 2", "is 2")


def test_n_train_cuts_train_from_test(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "set.npz", arrays(rows=20), split=None, n_train=np.int64(13))
    assert read_features(path, {}, 0, None).frame["split"].tolist() == ["train"] * 13 + ["test"] * 7
    manifest = read_features(path, {"train": "train", "test": "val"}, 0, None)
    assert manifest.splits() == ["train", "val"]
    assert "is 21" in refusal(write_npz(tmp_path / "b.npz", arrays(rows=20), split=None, n_train=21)).found


def test_splits_are_drawn_where_the_file_has_none(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "set.npz", split=None)
    first, again, other = (read_features(path, {}, seed, None).frame["split"].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert [first.count(split) for split in ("train", "val", "test")] == pytest.approx([140, 20, 40], abs=3)


def test_rows_without_a_label_can_be_dropped_and_unlabelled_ones_stay(tmp_path: Path) -> None:
    content = arrays(rows=20)
    content["Y"][:3] = 0
    content["split"] = content["split"].astype("<U20")
    content["split"][[0, 7]] = "unlabelled"
    manifest = read_features(write_npz(tmp_path / "set.npz", content), {}, 0, tmp_path, empty="drop")
    kept = (content["Y"] == 1).any(1) | (content["split"] == "unlabelled")
    assert manifest.frame["id"].tolist() == content["ids"][kept].tolist()
    assert np.array_equal(np.load(tmp_path / FEATURES_FILE), content["X"][kept])
    assert manifest.rows("unlabelled")["labels"].tolist() == [[], []]
    assert manifest.notes["empty"] == f"{20 - kept.sum()} rows without a label left out"


def _with(name: str, position: tuple[int, ...], value: float) -> dict[str, Any]:
    changed = arrays(rows=20)[name].copy()
    changed[position] = value
    return {name: changed}


@pytest.mark.parametrize(
    ("changes", "where", "found"),
    [
        (_with("X", (6, 1, 2), np.nan), ", row 7", "number 3 of view 1 is nan in float32"),
        (_with("X", (6, 0, 2), np.inf), ", row 7", "number 3 of view 0 is inf in float32"),
        ({"X": np.full((20, 4), 1e300)}, ", row 1", "number 1 of view 0 is inf in float32"),
        (_with("Y", (3, 1), 2), ", row 4", "Y is 2 in column 2"),
        ({"X": None}, "", "no array X; arrays found: Y, classes, ids, split"),
        ({"X": np.zeros(20)}, ", X", "float64 (20,)"),
        ({"X": np.zeros((20, 2), complex)}, ", X", "complex128 (20, 2)"),
        ({"X": np.zeros((20, 0))}, "", "X has the shape (N, V, D) = (20, 1, 0)"),
        ({"X": np.array([[1.0], [1.0, 2.0]], dtype=object)}, ", X", "holds Python objects"),
        ({"Y": np.zeros((19, 3))}, ", Y", "float64 (19, 3)"),
        ({"Y": np.zeros(20, int)}, ", Y", "int64 (20,)"),
        ({"classes": np.array(["a", "b"])}, ", classes", "<U1 (2,)"),
        ({"classes": np.array(["a", "b", "a"])}, ", classes", '"a" is duplicated'),
        ({"ids": np.array(["a"] * 19)}, ", ids", "<U1 (19,)"),
        ({"ids": np.array(["a"] * 19 + [""])}, ", ids, row 20", "is ''"),
        ({"split": np.array(["train"] * 21)}, ", split", "<U5 (21,)"),
        ({"X": np.zeros((0, 3)), "Y": np.zeros((0, 3)), "ids": None, "split": None}, "", "the data set is empty"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, Any], where: str, found: str) -> None:
    path = tmp_path / "set.npz"
    error = refusal(write_npz(path, arrays(rows=20), **changes))
    assert error.where == f"{path}{where}"
    assert error.found.startswith(found)


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path / "none.npz").found
    (tmp_path / "set.txt").write_text("1 2 3")
    assert "is no .npz and no .parquet" in refusal(tmp_path / "set.txt").found
    (tmp_path / "set.npz").write_bytes(b"PK\3\4 and then something else")
    assert refusal(tmp_path / "set.npz").found.startswith("not readable as npz")
    path = write_npz(tmp_path / "cut.npz")
    path.write_bytes(path.read_bytes()[:-2000])
    assert refusal(path).found.startswith("not readable as npz")


def test_a_header_that_claims_more_than_there_is_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    content = arrays(rows=20)
    write_npz(tmp_path / "set.npz", content)
    with zipfile.ZipFile(tmp_path / "set.npz") as whole, zipfile.ZipFile(tmp_path / "claim.npz", "w") as claim:
        for name in whole.namelist():
            member = whole.read(name)
            claim.writestr(name, member.replace(b"(20, 3, 12), }", b"(2000000000,9)}") if name == "X.npy" else member)
    assert "X is not as long as its header says" in refusal(tmp_path / "claim.npz").found


@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.floats(0, 1),
    compressed=st.booleans(),
)
def test_any_bytes_give_a_manifest_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: float, compressed: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (np.savez_compressed if compressed else np.savez)(folder / "set.npz", **arrays(rows=6))  # type: ignore[arg-type]
    content = bytearray((folder / "set.npz").read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    (folder / "set.npz").write_bytes(content if cut > 0.3 else content[: int(cut * 3 * len(content))])
    try:
        manifest = read_features(folder / "set.npz", {}, 0, folder / "images")
    except InputError:
        assert not list(folder.glob("images/*"))
    else:
        assert isinstance(manifest, Manifest)
        assert len(np.load(folder / "images" / FEATURES_FILE)) == len(manifest.frame)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), name=st.sampled_from(["X", "Y", "split"]))
def test_any_bytes_in_a_valid_zip_give_a_manifest_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, place: float, value: int, name: str
) -> None:
    # With the checksums right, the faults reach numpy's headers and values.
    folder = tmp_path_factory.mktemp("fuzz")
    write_npz(folder / "whole.npz", arrays(rows=2, views=1, features=9))
    with zipfile.ZipFile(folder / "whole.npz") as whole, zipfile.ZipFile(folder / "set.npz", "w") as mutated:
        for member in whole.namelist():
            content = bytearray(whole.read(member))
            if member == f"{name}.npy":
                content[int(place * len(content))] = value
            mutated.writestr(member, bytes(content))
    try:
        read_features(folder / "set.npz", {}, 0, folder / "images")
    except InputError:
        assert not list(folder.glob("images/*"))


@pytest.mark.parametrize("views", [1, 3])
def test_a_table_equals_the_archive(tmp_path: Path, views: int) -> None:
    table(rows=20, views=views).to_parquet(tmp_path / "set.parquet", index=False)
    manifest = read_features(tmp_path / "set.parquet", {}, 0, tmp_path / "table")
    archive = read_features(write_npz(tmp_path / "set.npz", arrays(rows=20, views=views)), {}, 0, tmp_path / "npz")
    columns = ["id", "split", "labels", "digest"]
    assert manifest.frame[columns].to_numpy().tolist() == archive.frame[columns].to_numpy().tolist()
    assert (tmp_path / "table" / FEATURES_FILE).read_bytes() == (tmp_path / "npz" / FEATURES_FILE).read_bytes()


def test_columns_of_numbers_are_features_in_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values_ND = rng.standard_normal((20, 12)).astype(np.float32)
    frame = pd.DataFrame({f"f{d}": values_ND[:, d] for d in reversed(range(12))})
    frame["labels"] = ["a;b", "b"] * 10
    frame["year"] = 1999
    frame.to_parquet(tmp_path / "set.parquet", index=False)
    manifest = read_features(tmp_path / "set.parquet", {}, 0, tmp_path)
    assert np.array_equal(np.load(tmp_path / FEATURES_FILE)[:, 0], values_ND)
    assert manifest.frame["labels"].tolist() == [["a", "b"], ["b"]] * 10
    frame.rename(columns={f"f{d}": f"number {d}" for d in range(12)}).to_parquet(tmp_path / "named.parquet")
    read_features(tmp_path / "named.parquet", {}, 0, tmp_path)
    written = np.load(tmp_path / FEATURES_FILE)[:, 0]
    assert np.array_equal(written, np.column_stack([values_ND[:, ::-1], np.full(20, 1999, np.float32)]))


def test_tables_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    frame = table(rows=20, views=1)

    def write(cells: list[Any]) -> None:
        frame.assign(features=pd.Series(cells, dtype=object)).to_parquet(path)

    write([[1.0, 2.0]] * 7 + [[1.0]] + [[1.0, 2.0]] * 12)
    error = refusal(path)
    assert (error.where, error.found) == (f"{path}, row 8", "a list of 1 in features")
    views: list[Any] = [[[1.0, 2.0], [1.0, 2.0]]] * 19
    write([*views, [[1.0, 2.0], [1.0]]])
    assert refusal(path).where == f"{path}, row 20"
    write([[1.0, 2.0]] * 7 + [[1.0, None]] + [[1.0, 2.0]] * 12)
    assert refusal(path).found == "number 2 of view 0 is nan in float32"
    write([None, *[[1.0, 2.0]] * 19])
    assert refusal(path).where == f"{path}, row 1"
    write(["x"] * 20)
    assert refusal(path).where == f"{path}, row 1"
    write([["x"]] * 20)
    refusal(path)
    frame.drop(columns="labels").to_parquet(path)
    assert refusal(path).found.startswith("no column labels")
    frame.drop(columns="features").to_parquet(path)
    assert refusal(path).found.startswith("no features among the columns")
    frame.assign(split=["train"] * 19 + [""]).to_parquet(path)
    assert refusal(path).where == f"{path}, row 20"
    frame.iloc[:0].to_parquet(path)
    assert refusal(path).found == "the data set is empty"
    path.write_bytes(b"PAR1 but not really")
    assert refusal(path).found.startswith("not readable as parquet")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "rows", "train", "positives"),
    [
        ("yeast", 2417, 1500, [762, 1038, 983, 597, 862, 253, 289, 722, 428, 480, 178, 1816, 1799, 34]),
        ("scene", 2407, 1211, [427, 364, 397, 433, 533, 431]),
    ],
)
def test_the_mulan_sets_read_as_published(
    tmp_path: Path, name: str, rows: int, train: int, positives: list[int]
) -> None:
    if "BMIX_TEST_DATA" not in os.environ:
        pytest.skip("BMIX_TEST_DATA names no folder of real data")
    manifest = read_features(Path(os.environ["BMIX_TEST_DATA"]) / f"mulan-{name}.npz", {}, 0, tmp_path)
    validate(manifest, name)
    assert len(manifest.frame) == rows
    assert len(manifest.ids("train")) == train
    assert (
        manifest.labels("train").sum(0, dtype=int) + manifest.labels("test").sum(0, dtype=int)
    ).tolist() == positives
