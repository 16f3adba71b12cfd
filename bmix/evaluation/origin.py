"""Where a model comes from: what the stages before wrote about its data and its labels, for its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmix.support.readers import Made, read_object, shown

_FACTS = Made.by_stage("the facts of the data", "prepare")


@dataclass(frozen=True)
class Origin:
    """Data and labels of a model, in figures.

    images, labels_per_image: by split, the mean; unlabelled has none. imbalance: most over fewest positives of a class,
    None if unknown. noise: the kind that was injected; removed: share of the true positives that it hid; added: labels
    that it made up. audited_by: the features that judged the labels, `off` for none; wrong: share of the training
    positives that are held for wrong, missing: of the absent labels for missing; both None if nothing was audited.
    review: what a review changed in the labels, as `bmix.sources.provenance.read_review` tells it; None if there was
    none.
    """

    source: str
    recipe: str
    images: dict[str, int]
    labels_per_image: dict[str, float]
    imbalance: float | None
    noise: str
    removed: float
    added: int
    audited_by: str
    wrong: float | None
    missing: float | None
    review: dict[str, Any] | None = None


def read_origin(folder: Path, source: str, recipe: str) -> Origin:
    """Read the facts, the noise and the estimate of the stages below `folder`; InputError for a damaged one."""
    facts = read_object(
        folder / "prepared" / "facts.json",
        {
            "images": ("the number of images of every split", _counts),
            "labels_per_image": ("the labels per image of every split", _of_each(lambda value: _number(value, "mean"))),
            "imbalance_ratio": ("a number, or null", lambda value: value is None or _is_number(value)),
        },
        _FACTS,
    )
    noise = read_object(
        folder / "noisy" / "noise.json",
        {
            "kind": ("the kind of the noise", lambda value: isinstance(value, str)),
            "measured": ("what it did", lambda value: _number(value, "removed_rate") and _number(value, "added")),
        },
        Made.by_stage("what noise was injected", "noise"),
    )
    estimate = read_object(
        folder / "audit" / "noise_estimate.json",
        {
            "features": ("what judged", lambda value: isinstance(value, str)),
            "splits": (
                "the shares of wrong and of missing labels of every split",
                _of_each(lambda value: _number(value, "wrong_share") and _number(value, "missing_share")),
            ),
        },
        Made.by_stage("what the audit found", "audit"),
    )
    audited = estimate["splits"].get("train")
    return Origin(
        source=source,
        recipe=recipe,
        images=facts["images"],
        labels_per_image={split: labels["mean"] for split, labels in facts["labels_per_image"].items()},
        imbalance=facts["imbalance_ratio"],
        noise=noise["kind"],
        removed=noise["measured"]["removed_rate"],
        added=int(noise["measured"]["added"]),
        audited_by=estimate["features"] if audited else "off",
        wrong=audited["wrong_share"] if audited else None,
        missing=audited["missing_share"] if audited else None,
        review=_review(facts.get("review")),
    )


def _review(value: Any) -> dict[str, Any] | None:
    """What the facts say of a review; InputError if it is not what prepare writes."""
    if value is None:
        return None
    if not (
        isinstance(value, dict) and set(value) >= set(_REVIEW) and all(_REVIEW[key](value[key]) for key in _REVIEW)
    ):
        _FACTS.refuse("data/prepared/facts.json, review", f"is {shown(value)}", "what a review changed, class by class")
    return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < float("inf")


def _number(value: Any, key: str) -> bool:
    return isinstance(value, dict) and _is_number(value.get(key))


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int for count in value.values())


def _of_each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _of_classes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(by, dict) and all(_counts(by.get(way)) and len(by[way]) == 3 for way in ("answer", "rule"))
        for by in value.values()
    )


_REVIEW: dict[str, Callable[[Any], bool]] = {
    "run": lambda value: isinstance(value, str),
    "from": lambda value: isinstance(value, str),
    "answers": lambda value: value is None or isinstance(value, str),
    "rule": lambda value: value is None or (isinstance(value, dict) and all(map(_is_number, value.values()))),
    "fits": lambda value: isinstance(value, bool),
    "classes": _of_classes,
}
