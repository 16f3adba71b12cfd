"""Distances of prototypes, by loops over all pairs."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bmix.evaluation.prototypes import Prototypes, class_distances, prototype_table, prototypes_of
from bmix.models.heads import AffinityHead, HeadSettings
from bmix.tracking.tables import prototype_numbers

CLASSES = ["cat", "dog", "bird", "fish"]


def made(count: int, classes: int = 4, sigma: float = 3.0) -> Prototypes:
    return Prototypes(np.random.default_rng(0).normal(size=(classes, count, 5)), sigma)


def squared(a: np.ndarray, b: np.ndarray) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("count", [1, 3])
def test_the_distance_of_two_classes_is_that_of_their_nearest_prototypes(count: int) -> None:
    prototypes = made(count)
    distances_KK = class_distances(prototypes)
    for i in range(4):
        for j in range(4):
            pairs = [squared(a, b) for a in prototypes.places[i] for b in prototypes.places[j]]
            assert distances_KK[i, j] == pytest.approx(0 if i == j else min(pairs) / prototypes.sigma)


@pytest.mark.parametrize("count", [1, 3])
def test_the_table_names_the_nearest_class(count: int) -> None:
    prototypes = made(count)
    table = prototype_table(prototypes, CLASSES).set_index("class")
    for i, name in enumerate(CLASSES):
        others = {
            CLASSES[j]: min(squared(a, b) for a in prototypes.places[i] for b in prototypes.places[j]) / 3.0
            for j in range(4)
            if j != i
        }
        nearest = min(others, key=lambda other: others[other])
        assert table.loc[name, "nearest"] == nearest
        assert table.loc[name, "distance"] == pytest.approx(others[nearest])
        assert table.loc[name, "affinity"] == pytest.approx(math.exp(-others[nearest]))
        own = [squared(prototypes.places[i][a], prototypes.places[i][b]) for a in range(count) for b in range(a)]
        expected = sum(own) / len(own) / 3.0 if own else math.nan
        assert table.loc[name, "own_distance"] == pytest.approx(expected, nan_ok=True)


def test_a_single_class_is_near_to_none() -> None:
    table = prototype_table(made(2, classes=1), ["cat"])
    assert table["nearest"].tolist() == [""]
    assert table[["distance", "affinity"]].isna().all(axis=None)
    assert table["own_distance"].notna().all()


def test_numbers_for_the_record() -> None:
    table = prototype_table(made(3), CLASSES)
    assert dict(prototype_numbers(table)) == {
        "prototypes/distance_mean": pytest.approx(table["distance"].mean()),
        "prototypes/distance_min": pytest.approx(table["distance"].min()),
        "prototypes/own_distance_mean": pytest.approx(table["own_distance"].mean()),
    }
    assert "prototypes/own_distance_mean" not in dict(
        prototype_numbers(prototype_table(made(1), CLASSES).dropna(axis="columns", how="all"))
    )


def test_the_prototypes_are_those_of_the_head() -> None:
    torch.manual_seed(0)
    head = AffinityHead(5, 4, HeadSettings(prototypes=2, sigma=7.0))
    found = prototypes_of(nn.Sequential(head))
    assert found is not None
    assert found.sigma == 7.0
    assert torch.equal(torch.tensor(found.places).float(), head.affinity.prototypes)
    assert prototypes_of(nn.Linear(3, 2)) is None
