from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmix.data.label_lists import label_lists
from bmix.data.manifest import Manifest, read_manifest, write_manifest
from bmix.data.noisy import read_labels, write_labels
from bmix.noise import inject, measured_rates
from bmix.randomness import numpy_generator
from bmix.support.errors import InputError
from stages import noise, prepare
from tests.helpers.tiny import read_written, write_params, write_table, write_voc

PREPARED, NOISY = Path("data/prepared"), Path("data/noisy")
TABLE = ("data.source=table", "data.path=mine/labels.csv", "data.root=mine/images", "data.overlap=warn")


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.chdir(tmp_path)
    write_table(Path("mine"))
    write_params(Path(), *TABLE)
    prepare.main()
    return read_manifest(PREPARED)


def run(*edits: str) -> dict:
    write_params(Path(), *TABLE, *edits)
    noise.main()
    return read_written(NOISY)


@pytest.mark.parametrize(
    ("kind", "rate"), [("mislabel", 0.4), ("flip", 0.2), ("single-positive", 0.0), ("missing", 0.3)]
)
def test_the_training_labels_are_those_of_the_library_call(manifest: Manifest, kind: str, rate: float) -> None:
    written = run(f"noise.kind={kind}", f"noise.rate={rate}", "noise.seed=3")
    ids, given, true = read_labels(NOISY, manifest)
    expected = inject(manifest.labels("train"), kind, rate, numpy_generator(3, "noise"))
    assert ids == manifest.ids("train")
    assert true is not None
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_array_equal(true, manifest.labels("train"))
    assert given.dtype == true.dtype == np.uint8
    assert (given != true).any()
    facts = written["noise.json"]
    assert (facts["kind"], facts["rate"]) == (kind, rate)
    assert facts["measured"] == measured_rates(true, given)


def know_the_truth() -> np.ndarray:
    """Have the table say what is true: of every third training image without its first label."""
    table = pd.read_csv("mine/labels.csv", keep_default_na=False)
    true = [names.partition(";")[2] if row % 3 == 0 else names for row, names in enumerate(table["labels"])]
    table.assign(true=true).to_csv("mine/labels.csv", index=False)
    prepare.main()
    training = read_manifest(PREPARED).rows("train")
    return np.array([[name in names for name in read_manifest(PREPARED).classes] for names in training["true"]])


def test_without_noise_the_truth_is_what_the_source_knows() -> None:
    expected = know_the_truth()
    written = run("noise.kind=none")
    manifest = read_manifest(PREPARED)
    _, given, true = read_labels(NOISY, manifest)
    assert true is not None
    np.testing.assert_array_equal(true, expected)
    np.testing.assert_array_equal(given, manifest.labels("train"))
    assert (given != true).any()
    assert written["noise.json"]["measured"] == measured_rates(true, given)


def test_noise_on_top_of_a_known_truth_is_refused() -> None:
    true_NK = know_the_truth()
    wrong = (true_NK != read_manifest(PREPARED).labels("train").astype(bool)).sum()
    with pytest.raises(InputError) as caught:
        run("noise.kind=mislabel")
    assert caught.value.where == "params.yaml, noise.kind"
    assert caught.value.found.startswith(f"mislabel, and {wrong:,} of the given training labels are wrong already")


def test_noise_on_labels_that_are_true_is_injected(manifest: Manifest) -> None:
    """The source knows the truth of other splits too, such as of unlabelled images; of train it is what is given."""
    frame = manifest.frame.assign(true=manifest.frame["labels"])
    write_manifest(replace(manifest, frame=frame), PREPARED)
    run("noise.kind=mislabel", "noise.rate=0.4")
    _, given, true = read_labels(NOISY, manifest)
    assert true is not None
    np.testing.assert_array_equal(true, manifest.labels("train"))
    assert (given != true).any()


def test_without_noise_the_truth_is_unknown(manifest: Manifest) -> None:
    run("noise.kind=none")
    _, given, true = read_labels(NOISY, manifest)
    assert true is None
    np.testing.assert_array_equal(given, manifest.labels("train"))
    assert pd.read_parquet(NOISY / "labels.parquet")["true"].isna().all()


def test_equal_params_write_equal_files_and_another_seed_does_not() -> None:
    first, again, other = (run("noise.rate=0.4", f"noise.seed={seed}") for seed in (1, 1, 2))
    assert first == again
    assert first["labels.parquet"] != other["labels.parquet"]


def test_ignored_cells_stay_0(tmp_path: Path) -> None:
    root = write_voc(Path("voc"), train=80)
    write_params(
        Path(), "data.source=voc", f"data.path={root}", f"data.root={root}", "noise.kind=flip", "data.overlap=warn"
    )
    prepare.main()
    noise.main()
    manifest = read_manifest(PREPARED)
    _, given, _ = read_labels(NOISY, manifest)
    ignored = manifest.ignored("train")
    plain = inject(manifest.labels("train"), "flip", 0.4, numpy_generator(0, "noise"))
    assert plain[ignored].any()
    np.testing.assert_array_equal(given, np.where(ignored, 0, plain))
    measured = read_written(NOISY)["noise.json"]["measured"]
    assert measured["positives"] + measured["negatives"] == (~ignored).sum() < ignored.size
    for column, each in enumerate(measured["per_class"]):
        counted = ~ignored[:, column]
        assert each["positives"] + each["negatives"] == counted.sum()
        assert each["changed"] == (plain != manifest.labels("train"))[counted, column].sum()


def test_the_matrix_is_read_by_name_and_used_for_class_dependent_alone(manifest: Manifest) -> None:
    names = manifest.classes[::-1]
    rows = [",".join([name, *("0.5" if other in (name, names[0]) else "0" for other in names)]) for name in names[1:]]
    Path("turns.csv").write_text(
        "\n".join([f"class,{','.join(names)}", f"{names[0]}" + ",1" + ",0" * len(rows), *rows])
    )
    run("noise.kind=class-dependent", "noise.matrix=turns.csv")
    matrix = 0.5 * np.eye(len(names))
    matrix[:, -1] += 0.5
    _, given, true = read_labels(NOISY, manifest)
    expected = inject(manifest.labels("train"), "class-dependent", 0.4, numpy_generator(0, "noise"), matrix)
    np.testing.assert_array_equal(given, expected)
    assert true is not None
    assert (given != true).any()
    Path("turns.csv").write_text("class,cat\ncat,2\n")
    run("noise.kind=mislabel", "noise.matrix=turns.csv")
    before = read_written(Path("data"))
    with pytest.raises(InputError, match=r"turns\.csv, line 1: no column for "):
        run("noise.kind=class-dependent", "noise.matrix=turns.csv")
    assert read_written(Path("data")) == before


def test_a_class_that_loses_its_last_positive_is_refused(manifest: Manifest) -> None:
    frame = manifest.frame.copy()
    frame["labels"] = [["cat"] if number else ["bird", "cat"] for number in range(len(frame))]
    lonely = Manifest(frame, ["bird", "cat"])
    write_manifest(lonely, PREPARED)
    kept = [
        bool(inject(lonely.labels("train"), "single-positive", 0.4, numpy_generator(seed, "noise"))[:, 0].any())
        for seed in range(20)
    ]
    run("noise.kind=single-positive", f"noise.seed={kept.index(True)}")
    before = read_written(Path("data"))
    with pytest.raises(InputError) as caught:
        run("noise.kind=single-positive", f"noise.seed={kept.index(False)}")
    assert caught.value.where == "params.yaml, noise"
    assert caught.value.found == (
        f'kind single-positive, rate 0.4 and seed {kept.index(False)} leave no given positive of "bird"'
    )
    assert read_written(Path("data")) == before


def test_mislabelling_needs_a_second_class(manifest: Manifest) -> None:
    frame = manifest.frame.copy()
    frame["labels"] = [["cat"] for _ in range(len(frame))]
    write_manifest(Manifest(frame, ["cat"]), PREPARED)
    with pytest.raises(InputError, match=r"noise\.kind: mislabel, and the data has one class"):
        run("noise.kind=mislabel")
    assert not NOISY.exists()


def test_labels_of_another_manifest_are_refused(manifest: Manifest) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labels(NOISY, manifest)
    run()
    turned = Manifest(manifest.frame.iloc[::-1], manifest.classes)
    with pytest.raises(InputError, match="are not the manifest's 36 training ids in its order"):
        read_labels(NOISY, turned)


def test_labels_come_back_as_they_were_written(manifest: Manifest, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = manifest.labels("train").shape
    given, true = (rng.integers(0, 2, shape, dtype=np.uint8) for _ in range(2))
    write_labels(tmp_path / "x", manifest, given, true)
    _, given_back, true_back = read_labels(tmp_path / "x", manifest)
    np.testing.assert_array_equal(given_back, given)
    np.testing.assert_array_equal(true_back, true)


def test_rows_beyond_a_row_group_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmix.data.noisy._ROWS_AT_ONCE", 16)
    frame = pd.DataFrame({"id": [f"{number:03}" for number in range(50)], "split": "train"})
    made = Manifest(frame, ["a", "b", "c"])
    given, true = np.random.default_rng(0).integers(0, 2, (2, 50, 3), dtype=np.uint8)
    write_labels(tmp_path, made, given, true)
    written = pd.read_parquet(tmp_path / "labels.parquet")
    assert written["id"].tolist() == made.ids("train")
    assert [list(names) for names in written["given"]] == label_lists(given, made.classes)
    assert [list(names) for names in written["true"]] == label_lists(true, made.classes)
    ids, given_back, true_back = read_labels(tmp_path, made)
    assert ids == made.ids("train")
    np.testing.assert_array_equal(given_back, given)
    np.testing.assert_array_equal(true_back, true)
    write_labels(tmp_path, made, given, None)
    assert pd.read_parquet(tmp_path / "labels.parquet")["true"].isna().all()
    assert read_labels(tmp_path, made)[2] is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"given": [["a"], ["d"]]}, 'class "d" is not in the class list'),
        ({"given": [["a"], [None]]}, 'class "null" is not in the class list'),
        ({"true": [["a"], None]}, "true is null in some rows"),
        ({"true": None}, 'no column "true"'),
        ({"id": ["y", "x"]}, "2 ids that are not the manifest's 2 training ids"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(tmp_path: Path, labels: dict, message: str) -> None:
    made = Manifest(pd.DataFrame({"id": ["x", "y"], "split": "train"}), ["a", "b"])
    columns = {"id": ["x", "y"], "given": [["a"], ["b"]], "true": [["a"], []], **labels}
    frame = pd.DataFrame({name: column for name, column in columns.items() if column is not None})
    frame.to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path, made)
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not readable"):
        read_labels(tmp_path, made)
