"""Predictions as files: a row per image as CSV or parquet, an object per image as JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bmix.serving.predict import Predictions
from bmix.support.files import write_parquet, write_text
from bmix.support.spreadsheet import guarded

FORMATS = {"csv": ".csv", "json": ".json", "parquet": ".parquet"}
JOINT = ";"
"""Between the classes in a cell of a CSV, as the source `table` reads them."""


def write_predictions(path: Path, predictions: Predictions, form: str, top: int = 0) -> None:
    """Write predictions in one of FORMATS; top: the number of likeliest classes to keep, 0 for all in their order."""
    if form == "parquet":
        write_parquet(path, table(predictions, top))
    else:
        write_text(path, text(predictions, form, top))


def text(predictions: Predictions, form: str, top: int = 0) -> str:
    """Predictions as CSV or JSON."""
    if form == "json":
        return json.dumps(objects(predictions, top), indent=1, ensure_ascii=False) + "\n"
    frame = table(predictions, top)
    frame["labels"] = frame["labels"].map(JOINT.join)
    for column in [name for name in frame if frame[name].dtype.kind not in "fi"]:
        frame[column] = frame[column].map(guarded)
    written = io.StringIO()
    frame.to_csv(written, index=False, lineterminator="\n")
    return written.getvalue()


def table(predictions: Predictions, top: int = 0) -> pd.DataFrame:
    """`path`, `labels` (list of the classes that reach their thresholds), and `p_CLASS` for every class.

    With `top`: `class_1`, `p_1`, `class_2`, ... instead, the likeliest first.
    """
    columns: dict[str, Any] = {"path": predictions.names, "labels": labels(predictions)}
    if not top:
        columns |= {f"p_{name}": predictions.probabilities_NK[:, k] for k, name in enumerate(predictions.classes)}
        return pd.DataFrame(columns)
    order_NK = ranked(predictions.probabilities_NK)[:, :top]
    names = np.array(predictions.classes, object)
    for place in range(order_NK.shape[1]):
        chosen = order_NK[:, place]
        columns[f"class_{place + 1}"] = names[chosen]
        columns[f"p_{place + 1}"] = predictions.probabilities_NK[np.arange(len(chosen)), chosen]
    return pd.DataFrame(columns)


def objects(predictions: Predictions, top: int = 0) -> list[dict[str, Any]]:
    """Per image `path`, `labels`, and `probabilities` by class, the likeliest first with `top`."""
    order_NK = ranked(predictions.probabilities_NK)[:, :top] if top else None
    found = []
    for row, (name, own) in enumerate(zip(predictions.names, labels(predictions), strict=True)):
        columns = range(len(predictions.classes)) if order_NK is None else order_NK[row]
        shown = {predictions.classes[k]: shortest(predictions.probabilities_NK[row, k]) for k in columns}
        found.append({"path": name, "labels": own, "probabilities": shown})
    return found


def labels(predictions: Predictions) -> list[list[str]]:
    """The classes that reach their thresholds in each image, in the order of the classes."""
    return [[predictions.classes[k] for k in np.flatnonzero(row)] for row in predictions.present_NK]


def ranked(probabilities_NK: np.ndarray) -> np.ndarray:
    """The columns of each row, the largest probability first; of equal ones the first."""
    return np.argsort(-probabilities_NK, axis=1, kind="stable")


def shortest(value: np.float32) -> float:
    """A float32 as the float with the fewest digits that is read back as the same float32."""
    return float(str(value))
