"""The label-free tasks against slow loops, and what a run of them leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bmix.models.backbones import build_classifier
from bmix.pretraining.rotation import Rotation, turned
from bmix.pretraining.simsiam import SimSiam, SimSiamNetwork, dissimilarity, spread
from bmix.recipes.shared.base import Side, Step
from bmix.training.steps import draw_pairs


def test_every_image_is_shown_in_all_four_orientations() -> None:
    views = torch.from_numpy(np.random.default_rng(0).random((3, 2, 5, 5), dtype=np.float32))
    shown = turned(views).numpy()
    for turn in range(4):
        for row in range(3):
            for channel in range(2):
                slow = [list(line) for line in views[row, channel].numpy()]
                for _ in range(turn):
                    # Against the clock: the last column becomes the first row.
                    slow = [[line[column] for line in slow] for column in reversed(range(5))]
                assert shown[3 * turn + row, channel].tolist() == np.array(slow).tolist()


def test_rotation_is_the_mean_cross_entropy_of_the_turns() -> None:
    views = torch.from_numpy(np.random.default_rng(1).random((2, 3, 4, 4), dtype=np.float32))
    logits_84 = torch.from_numpy(np.random.default_rng(2).normal(size=(8, 4)))
    task = Rotation(torch.zeros(9, 1, dtype=torch.bool))
    task.begin_epoch(1, 1)
    step = Step(Side(torch.tensor([4, 7]), views))
    result = task.step(lambda shown: logits_84 if len(shown) == 8 else pytest.fail("not four turns"), step)
    losses, right = [], 0
    for place, row in enumerate(logits_84.tolist()):
        turn = place // 2
        losses.append(math.log(sum(map(math.exp, row))) - row[turn])
        right += max(row) == row[turn]
    assert result.loss.item() == pytest.approx(sum(losses) / 8)
    assert task.measured() == [right / 8]
    assert task.told() == [f"accuracy {right / 8:.3f}"]


def test_simsiam_compares_each_prediction_with_the_other_projection() -> None:
    rng = np.random.default_rng(3)
    first, second = (torch.from_numpy(rng.normal(size=(5, 12))).requires_grad_() for _ in range(2))
    task = SimSiam(torch.zeros(9, 1, dtype=torch.bool))
    task.begin_epoch(1, 1)
    views = [torch.zeros(5, 3, 4, 4), torch.ones(5, 3, 4, 4)]
    step = Step(Side(torch.arange(5), views[0]), Side(torch.arange(5), views[1]), torch.ones(5))
    result = task.step(lambda shown: second if shown.any() else first, step)

    def cosine(own: np.ndarray, other: np.ndarray) -> float:
        return float(own @ other / np.sqrt(own @ own) / np.sqrt(other @ other))

    slow = 0.0
    for a, b in zip(first.detach().numpy(), second.detach().numpy(), strict=True):
        slow -= (cosine(a[6:], b[:6]) + cosine(b[6:], a[:6])) / 10
    assert result.loss.item() == pytest.approx(slow)
    result.loss.backward()
    for both in (first, second):
        assert both.grad is not None
        assert not both.grad[:, :6].any()
        assert both.grad[:, 6:].any()


def test_the_spread_tells_a_point_from_a_sphere() -> None:
    rows = torch.from_numpy(np.random.default_rng(4).normal(size=(2000, 64)))
    assert spread(rows).item() == pytest.approx(1, abs=0.02)
    assert spread(rows[:1].expand(50, -1)).item() == pytest.approx(0, abs=1e-6)
    assert dissimilarity(rows, rows).item() == pytest.approx(-1)


def test_the_head_of_the_classes_has_no_part_in_simsiam() -> None:
    network = build_classifier("small", "linear", 4, "none", seed=0)
    made = SimSiamNetwork(network)  # type: ignore[arg-type]
    assert not any(name.startswith("head.") for name, _ in made.named_parameters())
    assert made(torch.zeros(2, 3, 16, 16)).shape == (2, 256)


def test_an_image_is_its_own_partner() -> None:
    pairs = draw_pairs(7, SimSiam(torch.zeros(7, 1, dtype=torch.bool)), seed=0, epoch=1)
    assert pairs.partners_N is not None
    assert pairs.partners_N.tolist() == pairs.rows_N.tolist()
    assert sorted(pairs.rows_N.tolist()) == list(range(7))
