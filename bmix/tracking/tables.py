"""Outputs of the stages as numbers under MLflow's keys, and as tables for its pages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from bmix.tracking.metric_names import metric_key

_PER_CLASS = {"classes", "per_class", "class_names"}
_VERDICTS = ("clean", "relabelled", "ambiguous")


def numbers(value: Any, *path: str) -> Iterator[tuple[str, float]]:
    """Every finite number in nested dicts with the key that its path gives."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, *path, str(key))
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield metric_key(*path), float(value)


def result_numbers(metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of metrics.json; those of a further split stand under `mAP NAME`, beside those of the result."""
    known = {"mAP", "detection", "repair", "top1"}
    yield from overall_numbers({key if key in known else f"mAP {key}": value for key, value in metrics.items()})


def overall_numbers(value: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers in nested JSON that are not per class."""
    yield from numbers(_without_classes(value))


def _without_classes(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_classes(inner) for key, inner in value.items() if key not in _PER_CLASS}


def history_columns(history: pd.DataFrame) -> pd.DataFrame:
    """The numbers of history.csv by epoch under the keys that history_key gives them."""
    numeric = history.drop(columns="phase").set_index("epoch").astype(float)
    return numeric.rename(columns=history_key)


def history_key(column: str) -> str:
    """The metric's key of a column of history.csv: those about verdicts stand in sections of their own."""
    if column in _VERDICTS:
        return f"labels/{column}"
    verdict = column.removesuffix("_positives")
    if verdict.endswith(("_precision", "_recall")):
        return f"{'labels' if verdict == column else 'given positives'}/{verdict}"
    return f"given positives/{verdict}" if verdict in _VERDICTS else column


def mean_mixtures(mixtures: pd.DataFrame) -> pd.DataFrame:
    """Mean parameters over the classes by epoch, `mixture given 1/mean_0` and so on, degenerate ones left out.

    `degenerate` is the share of classes without a mixture.
    """
    parameters = [f"{name}_{component}" for name in ("mean", "variance", "weight") for component in (0, 1)]
    columns = {}
    for given in (0, 1):
        rows = mixtures[mixtures["given"] == given]
        fitted = rows[~rows["degenerate"].astype(bool)]
        section = f"mixture given {given}"
        columns[f"{section}/degenerate"] = rows.groupby("epoch")["degenerate"].mean()
        for name in parameters:
            columns[f"{section}/{name}"] = fitted.groupby("epoch")[name].mean()
    return pd.DataFrame(columns).astype(float)


def class_numbers(classes: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """The average precisions in plots/classes.csv: `ap/CLASS`, of a further split `ap_NAME/CLASS`."""
    for column in classes.columns:
        if column == "ap" or column.startswith("ap_"):
            values = zip(classes["class"], classes[column].tolist(), strict=True)
            yield from ((metric_key(column, name), value) for name, value in values if math.isfinite(value))


def prototype_numbers(prototypes: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Of plots/prototypes.csv `prototypes/distance_mean`, `_min`, and `prototypes/own_distance_mean` if there are."""
    for column, means in (("distance", ("mean", "min")), ("own_distance", ("mean",))):
        if column in prototypes:
            yield from ((f"prototypes/{column}_{name}", float(prototypes[column].agg(name))) for name in means)


def verdict_shares(verdicts: dict[str, Any]) -> pd.DataFrame:
    """Per class and given value: labels, and the shares of clean, relabelled and ambiguous ones (0 where none)."""
    rows = []
    for name, by_given in verdicts["classes"].items():
        for given, counts in by_given.items():
            labels = sum(counts[verdict] for verdict in _VERDICTS)
            shares = {verdict: round(counts[verdict] / max(1, labels), 6) for verdict in _VERDICTS}
            rows.append({"class": name, "given": given, "labels": labels, **shares, "degenerate": counts["degenerate"]})
    return pd.DataFrame(rows, columns=["class", "given", "labels", *_VERDICTS, "degenerate"])
