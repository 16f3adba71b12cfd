"""The tuned settings that are kept here are ones that the recipes have."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.imbalance import ROWS
from bmix.params import apply_edits, parse_params, read_yaml
from bmix.pipeline.presets import expand_presets
from bmix.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]


OF_ROWS = "imbalance"
"""The settings of the rows of benchmarks.imbalance, on the preset features."""
OF_RECIPES = [path for path in sorted((ROOT / "benchmarks/tuned").glob("*.yaml")) if path.stem != OF_ROWS]


@pytest.mark.parametrize("path", OF_RECIPES, ids=lambda path: path.stem)
def test_settings_are_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tuned = read_yaml(path)
    assert set(tuned) <= set(RECIPES)
    for recipe, own in tuned.items():
        edits = expand_presets([path.stem, f"training.recipe={recipe}", *own])
        params = parse_params(apply_edits(read_yaml(ROOT / "params.yaml"), edits))
        assert params.training.recipe == recipe


def test_settings_of_rows_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tuned = read_yaml(ROOT / f"benchmarks/tuned/{OF_ROWS}.yaml")
    assert set(tuned) <= set(ROWS)
    for name, own in tuned.items():
        edits = expand_presets(["features", *ROWS[name].edits, *own])
        parse_params(apply_edits(read_yaml(ROOT / "params.yaml"), edits))
