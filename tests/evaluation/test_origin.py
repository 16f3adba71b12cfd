"""What the stages before wrote of a review is read as it is, and refused where it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmix.evaluation.origin import read_origin
from bmix.support.errors import InputError
from bmix.support.files import write_json

NOTHING = {"added": 0, "removed": 0, "kept": 0}
REVIEW: dict[str, Any] = {
    "run": "first",
    "from": "labels.csv",
    "answers": None,
    "rule": {"": 0.98},
    "fits": True,
    "classes": {"cat": {"answer": NOTHING, "rule": {"added": 1, "removed": 2, "kept": 0}}},
}


def origin_of(folder: Path, **facts: Any) -> Any:
    per_image = {"train": {"mean": 1.5}}
    known = {"images": {"train": 4}, "labels_per_image": per_image, "imbalance_ratio": None}
    write_json(folder / "prepared/facts.json", known | facts)
    write_json(folder / "noisy/noise.json", {"kind": "none", "measured": {"removed_rate": 0.0, "added": 0}})
    write_json(folder / "audit/noise_estimate.json", {"features": "off", "splits": {}})
    return read_origin(folder, "table", "bce")


def test_a_review_is_part_of_the_origin(tmp_path: Path) -> None:
    assert origin_of(tmp_path).review is None
    assert origin_of(tmp_path, review=REVIEW).review == REVIEW


@pytest.mark.parametrize(
    "damaged",
    [7, {}, REVIEW | {"run": 3}, REVIEW | {"rule": {"": "much"}}, REVIEW | {"classes": {"cat": {"answer": NOTHING}}}],
)
def test_a_damaged_review_is_refused(tmp_path: Path, damaged: Any) -> None:
    with pytest.raises(InputError, match=r"facts\.json, review(.|\n)*what a review changed, class by class"):
        origin_of(tmp_path, review=damaged)
