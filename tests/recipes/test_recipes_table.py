"""The table that `python -m benchmarks.recipes` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.recipes import differences, table
from bmix.support.files import write_json


def write_metrics(home: Path, run: str, all_classes: float, few: float | None, **more: Any) -> None:
    content = {"mAP": {"all": all_classes, "many": None, "medium": None, "few": few}, "detection": None, "repair": None}
    (home / run).mkdir(parents=True)
    write_json(home / run / "metrics.json", content | {"seconds": 2.0} | more)


def test_mean_and_error_over_the_seeds_dashes_for_what_a_recipe_lacks_and_no_empty_columns(tmp_path: Path) -> None:
    write_metrics(tmp_path, "mislabel-0.4/bce-0", 0.5, 0.2)
    write_metrics(tmp_path, "mislabel-0.4/bce-1", 0.6, 0.2)
    found = {"detection": {"recall": 0.9, "precision": 0.4}, "repair": {"repaired": 0.1}}
    write_metrics(tmp_path, "mislabel-0.4/balancemix-0", 0.7, 0.3, **found)
    shown = table(tmp_path).set_index("recipe")
    columns = ["noise", "test all", "test few", "found", "precision", "repaired", "seconds", "runs"]
    assert list(shown.columns) == columns
    assert shown.loc["bce"].tolist() == ["mislabel-0.4", "55.0 ± 5.0", "20.0 ± 0.0", "–", "–", "–", "2.0 ± 0.0", 2]
    assert shown.loc["balancemix"].tolist() == ["mislabel-0.4", "70.0", "30.0", "90.0", "40.0", "10.0", "2.0", 1]


def test_a_further_test_split_has_its_column(tmp_path: Path) -> None:
    write_metrics(tmp_path, "none-0.0/bce-0", 0.5, None, **{"test-balanced": {"all": 0.45}})
    shown = table(tmp_path)
    assert shown["balanced"].tolist() == ["45.0"]
    assert "test few" not in shown


def test_differences_are_taken_seed_by_seed(tmp_path: Path) -> None:
    for seed, (bce, balancemix) in enumerate(((0.5, 0.6), (0.7, 0.9))):
        write_metrics(tmp_path, f"mislabel-0.4/bce-{seed}", bce, None)
        write_metrics(tmp_path, f"mislabel-0.4/balancemix-{seed}", balancemix, None)
    write_metrics(tmp_path, "mislabel-0.4/asl-1", 0.85, None)
    write_metrics(tmp_path, "none-0.0/bce-0", 0.8, None)
    shown = differences(tmp_path, "balancemix").set_index("recipe")
    assert list(shown.columns) == ["mislabel-0.4", "none-0.0"]
    assert shown.loc["bce"].tolist() == ["60.0 (-15.0 ± 5.0)", "80.0"]
    assert shown.loc["asl"].tolist() == ["85.0 (-5.0)", "–"]
    assert shown.loc["balancemix"].tolist() == ["75.0", "–"]
