"""The labels that a model is trained on, as the stage noise writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bmix.data.manifest import Manifest, label_lists, label_matrix, text_schema
from bmix.errors import InputError
from bmix.files import write_parquet

LABELS_FILE = "labels.parquet"


def write_labels(folder: Path, manifest: Manifest, given_NK: np.ndarray, true_NK: np.ndarray | None) -> None:
    """Write `labels.parquet`: id, given and true class names of each training image, in manifest order.

    given_NK, true_NK: 0/1. true_NK None: nothing was injected, the truth is unknown, and `true` is null in every row.
    """
    ids = manifest.ids("train")
    true = [None] * len(ids) if true_NK is None else label_lists(true_NK, manifest.classes)
    frame = pd.DataFrame({"id": ids, "given": label_lists(given_NK, manifest.classes), "true": true})
    write_parquet(folder / LABELS_FILE, frame, text_schema(frame.columns, {"given", "true"}))


def read_labels(folder: Path, manifest: Manifest) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Read ids, given labels uint8 (N, K), and true labels uint8 (N, K) or None where the truth is unknown.

    Raises InputError where the file is missing or unreadable, or its ids are not the manifest's training ids in order.
    """
    path = folder / LABELS_FILE
    if not path.is_file():
        raise InputError(str(path), "no such file", "the output of the stage noise", "run that stage: dvc repro")
    try:
        frame = pd.read_parquet(path, columns=["id", "given", "true"])
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"not readable: {error}", "labels by image", "run the stage noise again") from error
    ids = frame["id"].tolist()
    if ids != manifest.ids("train"):
        raise InputError(
            str(path),
            f"{len(ids)} ids that are not the manifest's {len(manifest.ids('train'))} training ids in its order",
            "labels that were made from this manifest",
            "run the stage noise again",
        )
    unknown = frame["true"].isna()
    if unknown.any() and not unknown.all():
        raise InputError(str(path), "true is null in some rows", "in all or in none", "run the stage noise again")
    given_NK = label_matrix(frame["given"], manifest.classes)
    return ids, given_NK, None if unknown.all() else label_matrix(frame["true"], manifest.classes)
