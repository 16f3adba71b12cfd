"""The table of components pairs its rows by seed; thinned data have the tail that was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import components
from bmix.support.files import write_json


def test_steps_are_paired_by_seed(tmp_path: Path) -> None:
    maps = {"mixup": [0.5, 0.7, 0.6], "+ minority sampler": [0.51, 0.73, 0.62]}
    for row, values in maps.items():
        for seed, value in enumerate(values):
            groups = {"all": value, "many": value, "medium": None, "few": 0.2}
            folder = components._folder(tmp_path, row, seed)
            folder.mkdir(parents=True)
            write_json(folder / "metrics.json", {"mAP": groups})
    table = components.table(tmp_path, list(maps), [0, 1, 2]).set_index("row")
    assert [table.at["mixup", name] for name in ("all", "medium", "step, all")] == ["60.0 ± 5.8", "–", "–"]
    # 1, 3 and 2 points: their standard deviation is 1.
    assert [table.at["+ minority sampler", name] for name in ("step, all", "step, few")] == ["+2.0 ± 0.6", "+0.0 ± 0.0"]


def test_every_row_is_compared_to_one_above_it() -> None:
    names = list(components.ROWS)
    assert all(base in names[:number] for number, (base, _) in enumerate(components.ROWS.values()) if base)


def test_thinned_tail(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels_NK = (rng.random((2000, 4)) < [0.2, 0.6, 0.3, 0.1]).astype(np.int8)
    split_N = np.array(["train"] * 1500 + ["val"] * 500)
    X = np.arange(2000, dtype=np.float16).reshape(2000, 1, 1)
    names = np.array(["a", "b", "c", "d"])
    np.savez(tmp_path / "all.npz", allow_pickle=False, X=X, Y=labels_NK, split=split_N, classes=names)
    counts = components.thin(tmp_path / "all.npz", tmp_path / "thin.npz", 64)
    with np.load(tmp_path / "thin.npz") as archive:
        kept_N = np.isin(X[:, 0, 0], archive["X"][:, 0, 0])
        assert archive["Y"].tolist() == labels_NK[kept_N].tolist()
        assert archive["classes"].tolist() == names.tolist()
    assert kept_N[1500:].all()
    assert counts == labels_NK[:1500][kept_N[:1500]].sum(axis=0)[[1, 2, 0, 3]].tolist()
    most = int(labels_NK[:1500, 1].sum())
    # The rarest class gets what was wanted; each of the others also what shows a rarer one.
    assert counts[3] == round(most / 64)
    for count, wanted in zip(counts[1:], (most / 4, most / 16, most / 64), strict=True):
        assert wanted - 1 < count < wanted + 0.4 * sum(counts[2:])
    # Images of the most frequent class alone are all there.
    alone_N = (labels_NK == [0, 1, 0, 0]).all(axis=1)
    assert kept_N[alone_N].all()


def test_the_same_tail_again(tmp_path: Path) -> None:
    labels_NK = np.repeat(np.eye(2, dtype=np.int8), [30, 20], axis=0)
    arrays = {"X": np.arange(50.0).reshape(50, 1), "Y": labels_NK, "split": np.array(["train"] * 50)}
    np.savez(tmp_path / "all.npz", allow_pickle=False, **arrays)
    assert components.thin(tmp_path / "all.npz", tmp_path / "a.npz", 10) == [30, 3]
    assert components.thin(tmp_path / "all.npz", tmp_path / "b.npz", 10) == [30, 3]
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a["X"].tolist() == b["X"].tolist()
