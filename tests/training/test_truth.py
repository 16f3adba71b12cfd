from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch

from bmix.method.refine import AMBIGUOUS, CLEAN, RELABELLED
from bmix.recipes.shared.base import StepResult
from bmix.training.epoch_tables import EpochTotals
from bmix.training.ranks import Ranks
from bmix.training.truth import TRUTH_COLUMNS, UNKNOWN
from tests.helpers.runs import build_run, write_images


def slow_scores(cells: list[tuple[int, int, int, int]]) -> dict[str, float | None]:
    """cells: (verdict, given, refined, true) of each label."""

    def share(part: list[bool], whole: list[bool]) -> float | None:
        return sum(part) / len(whole) if whole else None

    clean = [cell for cell in cells if cell[0] == CLEAN]
    relabelled = [cell for cell in cells if cell[0] == RELABELLED]
    right = [cell for cell in cells if cell[1] == cell[3]]
    wrong = [cell for cell in cells if cell[1] != cell[3]]
    return {
        "clean_precision": share([given == true for _, given, _, true in clean], clean),  # type: ignore[arg-type]
        "clean_recall": share([verdict == CLEAN for verdict, *_ in right], right),  # type: ignore[arg-type]
        "relabel_precision": share([new == true for _, _, new, true in relabelled], relabelled),  # type: ignore[arg-type]
        "relabel_recall": share(
            [verdict == RELABELLED and new == true for verdict, _, new, true in wrong],
            wrong,  # type: ignore[arg-type]
        ),
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_scores_are_those_of_a_slow_count_and_unknown_labels_are_left_out(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(high: int) -> torch.Tensor:
        return torch.randint(high, (40, 3), generator=generator)

    given, true, verdict = drawn(2), drawn(3).sub(1).to(torch.int8), drawn(3).to(torch.uint8)
    refined = torch.where(verdict == RELABELLED, drawn(2), given)
    totals = EpochTotals(40, true)
    for start, stop in pairwise([0, 16, 32, 40]):
        rows = torch.arange(start, stop)
        result = StepResult(torch.tensor(1.0), verdict[rows], refined[rows].float())
        totals.add(result, rows, given[rows].bool(), len(rows))
    loss, found = totals.sum_up(Ranks())
    parts = (verdict, given, refined, true)
    cells = [tuple(int(part[n, k]) for part in parts) for n in range(40) for k in range(3)]
    known = [cell for cell in cells if cell[3] != UNKNOWN]
    expected = slow_scores(known)  # type: ignore[arg-type]
    of_positives = slow_scores([cell for cell in known if cell[1]])  # type: ignore[misc]
    expected |= {f"{name}_positives": value for name, value in of_positives.items()}
    assert loss == 1
    assert {name: found[name] for name in TRUTH_COLUMNS} == pytest.approx(expected)


def test_without_labels_of_a_kind_there_is_no_score() -> None:
    one = torch.ones(1, 1, dtype=torch.int8)
    totals = EpochTotals(1, one)
    totals.add(StepResult(torch.tensor(0.0), one.to(torch.uint8) * AMBIGUOUS, one.float()), torch.tensor([0]), one, 1)
    _, found = totals.sum_up(Ranks())
    assert found["clean_precision"] is None
    assert found["clean_recall"] == 0
    assert found["relabel_recall"] is None


def test_history_scores_managed_epochs_alone_and_the_truth_changes_nothing_else(tmp_path: Path) -> None:
    paths, true_NK = write_images(tmp_path, 48)
    given_NK = true_NK.copy()
    given_NK[::5, 0] ^= 1
    history: list[pd.DataFrame] = []
    for known in (None, torch.from_numpy(true_NK.astype("int8"))):
        trainer = build_run(paths, given_NK, scored_by=known)
        while trainer.epoch < 3:
            trainer.train_epoch()
        history.append(trainer.tables.frames(["north", "east", "south"])[0])
    without, scored = history
    assert without[TRUTH_COLUMNS].isna().all(axis=None)
    assert scored["clean_precision"].notna().tolist() == [False, False, True]
    assert not math.isnan(scored["clean_recall_positives"].iloc[-1])
    pd.testing.assert_frame_equal(without.drop(columns=TRUTH_COLUMNS), scored.drop(columns=TRUTH_COLUMNS))
