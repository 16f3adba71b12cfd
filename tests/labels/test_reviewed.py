"""Labels that people looked at: read with the data, carried by the manifest, and never doubted again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix.audit.arrays import audit_labels
from bmix.audit.labels import trusting
from bmix.data.manifest import read_manifest, write_manifest
from bmix.labels.scored import read_scored
from bmix.method.refine import CLEAN
from bmix.method.settings import MethodSettings
from bmix.recipes import RECIPES
from bmix.recipes.shared.base import EpochPass
from bmix.sources.coco.read import read_coco
from bmix.sources.features.read import read_features
from bmix.sources.table.read import read_table
from bmix.support.errors import InputError
from stages import noise
from tests.helpers.features import arrays, write_npz
from tests.helpers.labelled import CLASSES, SPOILT, write_audited
from tests.helpers.tiny import write_params, write_table

CELL = json.dumps({"cat": "removed", "dog": "added", "bird": "kept"})


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet", "labels.jsonl"])
def test_a_column_of_reviewed_labels_comes_into_the_manifest(name: str, tmp_path: Path) -> None:
    frame = pd.read_csv(write_table(tmp_path))
    frame["reviewed"] = ["", CELL, *[""] * (len(frame) - 2)]
    path = tmp_path / name
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    manifest = read_table(path, tmp_path / "images", 0)
    assert manifest.frame["reviewed"].iloc[1] == ["bird", "cat", "dog"]
    assert manifest.frame["reviewed"].map(len).sum() == 3
    assert "3 labels that people looked at" in manifest.notes["reviewed"]
    assert "1 kept, 1 added, 1 removed" in manifest.notes["reviewed"]
    write_manifest(manifest, tmp_path / "prepared")
    back = read_manifest(tmp_path / "prepared")
    split = back.frame["split"].iloc[1]
    reviewed_NK = back.reviewed_if_any(split)
    assert reviewed_NK is not None
    assert reviewed_NK.sum() == 3


def test_other_columns_of_that_name_keep_their_meaning(tmp_path: Path) -> None:
    frame = pd.read_csv(write_table(tmp_path))
    for values in (["yes"] * len(frame), [""] * len(frame)):
        frame.assign(reviewed=values).to_csv(tmp_path / "labels.csv", index=False)
        assert "reviewed" not in read_table(tmp_path / "labels.csv", tmp_path / "images", 0).frame
    lists = frame["labels"].str.split(";")
    columns = {name: lists.map(lambda own, name=name: int(name in own)) for name in ("cat", "dog")}
    marks = (np.arange(len(frame)) % 2).tolist()
    frame[["path", "split"]].assign(**columns, reviewed=marks).to_csv(tmp_path / "labels.csv", index=False)
    assert read_table(tmp_path / "labels.csv", tmp_path / "images", 0).classes == ["cat", "dog", "reviewed"]


def test_a_damaged_cell_is_refused_with_its_line(tmp_path: Path) -> None:
    frame = pd.read_csv(write_table(tmp_path))
    frame["reviewed"] = [CELL, '{"cat": "perhaps"}', *[""] * (len(frame) - 2)]
    frame.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(InputError, match=r"line 3: reviewed is .*\n.*kept, added, removed"):
        read_table(tmp_path / "labels.csv", tmp_path / "images", 0)


def test_features_carry_them_as_numbers(tmp_path: Path) -> None:
    labels_NK = arrays()["Y"]
    reviewed_NK = np.zeros_like(labels_NK)
    reviewed_NK[3], reviewed_NK[4, 0] = (1, -1, 0), 1
    manifest = read_features(write_npz(tmp_path / "set.npz", reviewed=reviewed_NK), {}, 0, None)
    assert manifest.frame["reviewed"].map(len).tolist()[3:5] == [2, 1]
    assert manifest.notes["reviewed"].startswith("3 labels")


def test_coco_carries_them_with_its_images(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "reviewed": {"cat": "kept"}}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    manifest = read_coco(tmp_path / "c.json", tmp_path, {}, False)
    assert manifest.frame["reviewed"].tolist() == [["cat"], []]
    content["images"][0]["reviewed"] = ["cat"]
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"images\[0\].*reviewed is"):
        read_coco(tmp_path / "c.json", tmp_path, {}, False)


def test_the_audit_ranks_them_no_more(tmp_path: Path) -> None:
    audit = audit_labels(SPOILT.features, SPOILT.given)
    reviewed_NK = np.zeros(SPOILT.given.shape, bool)
    reviewed_NK[:5] = True
    trusted = trusting(audit, SPOILT.given, reviewed_NK)
    assert np.isnan(trusted.quality[:5]).all()
    np.testing.assert_array_equal(trusted.p_present[:5], SPOILT.given[:5])
    np.testing.assert_array_equal(trusted.quality[5:], audit.quality[5:])
    assert trusting(audit, SPOILT.given, None) is audit
    run = write_audited(tmp_path, reviewed={0: CLASSES})
    run.folder.joinpath("data/audit/label_quality.parquet").unlink()
    with pytest.raises(InputError, match="no trained network"):
        read_scored(run)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"oracle"}))
def test_no_recipe_doubts_them(name: str) -> None:
    rng = np.random.default_rng(0)
    given = torch.from_numpy(rng.random((200, 4)) < 0.4)
    reviewed = torch.from_numpy(rng.random((200, 4)) < 0.3)
    kind = RECIPES[name]
    present = torch.full((200, 4), 0.3) if kind.uses_audit else None
    losses = torch.from_numpy(rng.gamma(1, 0.2, (200, 4)).astype(np.float32))
    # Whatever was reviewed has the largest losses.
    losses[reviewed] += 5
    confidence = torch.where(given, (-losses).exp(), 1 - (-losses).exp())
    members = torch.stack([losses, losses]) if kind.members == 2 else None
    ids, names = [str(row) for row in range(200)], list("abcd")
    own = kind.Settings(delta_rel=20.0) if name.startswith("ll-") and kind.Settings else None
    verdicts = {}
    for seen in (None, reviewed):
        recipe = kind(given, MethodSettings(), ids, names, own, None, present, seen)
        for epoch in (1, 2):
            recipe.begin_epoch(epoch, 3)
            recipe.end_epoch(EpochPass(losses, confidence, members), manage=True)
        if recipe.needs_pass:
            recipe.judge(EpochPass(losses, confidence, members))
        verdicts[seen is None] = recipe.ledger(confidence)
    trusted = verdicts[False]
    assert (trusted.verdict_NK[reviewed] == CLEAN).all()
    assert (trusted.weight_NK[reviewed] == 1).all()
    torch.testing.assert_close(trusted.labels_NK[reviewed], given[reviewed].float())
    if verdicts[True].managed:
        assert (verdicts[True].verdict_NK[reviewed] != CLEAN).any()


def test_co_teaching_keeps_their_images_and_t_estimator_their_loss() -> None:
    from bmix.method.objective import balancemix_loss
    from bmix.recipes.shared.base import Side, Step

    given = torch.tensor([[True, False], [False, True]])
    recipe = RECIPES["t-estimator"](given, reviewed_NK=torch.ones(2, 2, dtype=torch.bool))
    recipe.flip_rates_2K = torch.tensor([[0.3, 0.2], [0.1, 0.2]])
    views = torch.zeros(2, 3, 4, 4)
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    rows, coefficient = torch.tensor([0, 1]), torch.tensor([0.7, 0.9])
    step = Step(Side(rows, views), Side(rows.flip(0), views), coefficient)
    mixed = coefficient[:, None] * given.float() + (1 - coefficient[:, None]) * given.float().flip(0)
    torch.testing.assert_close(recipe.step(lambda _: logits, step).loss, balancemix_loss(logits, mixed))
    recipe.reviewed_NK = torch.zeros(2, 2, dtype=torch.bool)
    with_importance = recipe.step(lambda _: logits, step).loss
    recipe.reviewed_NK = None
    torch.testing.assert_close(with_importance, recipe.step(lambda _: logits, step).loss)
    assert not torch.allclose(with_importance, balancemix_loss(logits, mixed))


def test_noise_leaves_them_as_they_were_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_audited(tmp_path, reviewed=dict.fromkeys(range(0, 400, 2), CLASSES))
    write_params(tmp_path, "data.source=table", "noise.kind=mislabel", "noise.rate=0.5")
    noise.main()
    given = pd.read_parquet("data/noisy/labels.parquet")["given"].map(sorted).tolist()
    before = run.manifest.frame["labels"].map(sorted).tolist()
    assert given[::2] == before[::2]
    assert sum(a != b for a, b in zip(given[1::2], before[1::2], strict=True)) > 50
