"""What the audit says of the training labels, as training reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.support.errors import InputError

PRESENT_FILE = "p_present.npy"


def read_present(folder: Path, count: int, classes: int) -> np.ndarray | None:
    """P(truly present) of every training label, float32 (N, K); None if nothing was audited.

    Raises InputError where the file is missing, damaged or of another data set.
    """
    path = folder / PRESENT_FILE
    expected = f"what the stage audit writes for {count} images and {classes} classes"
    try:
        present_NK = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", expected, "run that stage: dvc repro audit") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(str(path), f"not readable: {error}", expected, "run that stage: dvc repro audit") from error
    if present_NK.shape == (0, classes):
        return None
    if present_NK.shape != (count, classes) or present_NK.dtype != np.float32:
        found = f"{present_NK.dtype} {present_NK.shape}"
        raise InputError(str(path), found, expected, "run that stage: dvc repro audit")
    return np.asarray(present_NK)
