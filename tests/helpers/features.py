"""Tiny sets of features in the layouts that the source `features` reads: each class pushes some of the numbers up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CLASSES = ("loud", "round", "warm")
PARTS = ("train", "train", "train", "val", "test")


def draw_features(
    rows: int = 200, views: int = 3, features: int = 12, spread: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 (N, V, D) and labels int8 (N, K): 3 numbers for each class, and noise in every view anew."""
    rng = np.random.default_rng(seed)
    labels_NK = (rng.random((rows, len(CLASSES))) < (0.6, 0.4, 0.25)).astype(np.int8)
    centre_ND = np.zeros((rows, features))
    for column in range(len(CLASSES)):
        centre_ND[:, 3 * column : 3 * column + 3] = 2 * labels_NK[:, column : column + 1]
    views_NVD = centre_ND[:, None] + spread * rng.standard_normal((rows, views, features))
    return (5 + views_NVD).astype(np.float32), labels_NK


def arrays(**options: Any) -> dict[str, np.ndarray]:
    """What `write_npz` writes, by name."""
    features_NVD, labels_NK = draw_features(**options)
    rows = len(labels_NK)
    return {
        "X": features_NVD,
        "Y": labels_NK,
        "classes": np.array(CLASSES),
        "ids": np.array([f"row-{row:04d}" for row in range(rows)]),
        "split": np.array([PARTS[row % len(PARTS)] for row in range(rows)]),
    }


def write_npz(path: Path, content: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write an archive of `content`, by default `arrays()`, with changes; a value of None leaves an array out."""
    content = {**(arrays() if content is None else content), **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


def table(**options: Any) -> pd.DataFrame:
    """The same as a table: `features` holds lists of V lists, or of numbers where V is 1."""
    content = arrays(**options)
    features_NVD = content["X"]
    cells = features_NVD[:, 0] if features_NVD.shape[1] == 1 else features_NVD
    names = content["classes"]
    return pd.DataFrame(
        {
            "id": content["ids"],
            "split": content["split"],
            "labels": [names[row == 1].tolist() for row in content["Y"]],
            "features": cells.tolist(),
        }
    )
