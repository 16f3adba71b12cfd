"""The verdicts of every epoch: as a slow loop gathers them, kept, refused when damaged, and read for one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED
from bmix.recipes.shared.base import StepResult
from bmix.support.errors import InputError
from bmix.training.checkpoint import Checkpoints
from bmix.training.identity import RunIdentity
from bmix.training.loop import Trainer
from bmix.training.ranks import Ranks
from bmix.training.state import load_run, save_run
from bmix.training.verdict_history import WORDS, EpochVerdicts, VerdictHistory, read_image_history
from tests.helpers.runs import CLASSES, build_run, train, write_images


def slow_word(verdict: int, given: int, refined: int | None) -> str:
    if verdict == RELABELLED:
        return f"relabelled to {given if refined is None else refined}"
    return {CLEAN: "clean", AMBIGUOUS: "ambiguous"}[verdict]


@pytest.mark.parametrize("keeps_values", [False, True])
def test_an_epoch_is_gathered_as_a_slow_loop_does(keeps_values: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(2, (23, 3), generator=generator).bool()
    verdict = torch.randint(2 if keeps_values else 3, (23, 3), generator=generator).to(torch.uint8)
    verdict = verdict * AMBIGUOUS if keeps_values else verdict
    refined = None if keeps_values else torch.randint(2, (23, 3), generator=generator).float()
    seen = EpochVerdicts(23)
    for rows in torch.randperm(23, generator=generator).split(5):
        seen.add(rows, given[rows], None if refined is None else refined[rows], verdict[rows])
    codes_NK = seen.sum_up(Ranks())
    assert codes_NK is not None
    for row in range(23):
        for k in range(3):
            value = None if refined is None else int(refined[row, k])
            assert WORDS[codes_NK[row, k]] == slow_word(int(verdict[row, k]), int(given[row, k]), value)


def test_an_epoch_without_verdicts_leaves_none() -> None:
    seen = EpochVerdicts(4)
    seen.add(torch.arange(4), torch.ones(4, 2), None, None)
    assert seen.sum_up(Ranks()) is None
    history = VerdictHistory()
    history.add(1, None)
    assert history.state() == {}


def noted(trainer: Trainer) -> dict[int, list[tuple[torch.Tensor, StepResult]]]:
    """What the steps of a trainer say from now on, by epoch."""
    steps: dict[int, list[tuple[torch.Tensor, StepResult]]] = {}
    step = trainer.recipe.step

    def watched(classify, views):  # type: ignore[no-untyped-def]
        result = step(classify, views)
        steps.setdefault(trainer.epoch + 1, []).append((views.random.rows, result))
        return result

    trainer.recipe.step = watched  # type: ignore[method-assign]
    return steps


def test_the_table_says_what_the_steps_said(tmp_path: Path) -> None:
    paths, labels_NK = write_images(tmp_path, 40)
    labels_NK[:8] = 1 - labels_NK[:8]
    trainer = build_run(paths, labels_NK, epochs=5)
    steps = noted(trainer)
    train(trainer)
    ids = [path.stem for path in paths]
    table_file = tmp_path / "history.parquet"
    trainer.tables.verdicts.write(table_file, ids, CLASSES, labels_NK)
    table = pd.read_parquet(table_file)
    assert list(table.columns) == ["id", "class", "given", "epoch_3", "epoch_4", "epoch_5"]
    listed = table.set_index(["id", "class"])
    order = list(zip(table["id"], table["class"], strict=True))
    assert order == sorted(order, key=lambda label: (ids.index(label[0]), CLASSES.index(label[1])))
    others = 0
    for epoch in (3, 4, 5):
        for rows, result in steps[epoch]:
            assert result.verdict is not None
            assert result.refined is not None
            for place, row in enumerate(rows.tolist()):
                for k, name in enumerate(CLASSES):
                    given, refined = int(labels_NK[row, k]), int(result.refined[place, k])
                    word = slow_word(int(result.verdict[place, k]), given, refined)
                    if (ids[row], name) in listed.index:
                        assert listed.loc[(ids[row], name), f"epoch_{epoch}"] == word
                        assert listed.loc[(ids[row], name), "given"] == given
                    else:
                        assert word == "clean"
                        others += 1
    assert len(table)
    assert others
    of_columns = table[["epoch_3", "epoch_4", "epoch_5"]]
    assert (of_columns != "clean").any(axis=1).all()
    image = str(table["id"].iloc[0])
    epochs, words = read_image_history(table_file, image)
    assert epochs == [3, 4, 5]
    own = table[table["id"] == image]
    assert words == {row["class"]: [row[f"epoch_{e}"] for e in epochs] for row in own.to_dict("records")}
    assert read_image_history(table_file, "none")[1] == {}


def test_a_run_that_manages_no_labels_has_an_empty_table(tmp_path: Path) -> None:
    paths, labels_NK = write_images(tmp_path, 20)
    trainer = train(build_run(paths, labels_NK, recipe="bce"), 1)
    trainer.tables.verdicts.write(tmp_path / "history.parquet", [path.stem for path in paths], CLASSES, labels_NK)
    assert read_image_history(tmp_path / "history.parquet", "000") == ([], {})
    assert pd.read_parquet(tmp_path / "history.parquet").columns.tolist() == ["id", "class", "given"]


@pytest.mark.parametrize("damage", ["gone", "cut", "of another size"])
def test_a_checkpoint_without_its_verdicts_is_refused(tmp_path: Path, damage: str) -> None:
    paths, labels_NK = write_images(tmp_path, 20)
    trainer = train(build_run(paths, labels_NK), 3)
    history = trainer.tables.verdicts
    if damage == "gone":
        history.epochs.clear()
    elif damage == "cut":
        history.epochs[3] = history.epochs[3][:-5]
    else:
        history.add(3, np.zeros((19, 3), np.uint8))
    save_run(trainer, tmp_path / "state")
    with pytest.raises(InputError, match="verdicts of 0 epochs" if damage == "gone" else "does not fit this run"):
        load_run(build_run(paths, labels_NK), tmp_path / "state")


def test_a_resumed_run_has_the_verdicts_of_the_epochs_before(tmp_path: Path) -> None:
    paths, labels_NK = write_images(tmp_path, 20)
    whole = train(build_run(paths, labels_NK))
    checkpoints = Checkpoints(tmp_path, "train", RunIdentity({"seed": 0}))
    checkpoints.save(train(build_run(paths, labels_NK), 3))
    resumed = build_run(paths, labels_NK)
    assert checkpoints.resume(resumed)
    assert train(resumed).tables.verdicts == whole.tables.verdicts
