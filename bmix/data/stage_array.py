"""An array that a stage leaves, one row per image and one column per class, as later stages read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from bmix.support.errors import InputError


def read_stage_array(path: Path, stage: str, dtype: DTypeLike, count: int, classes: int) -> np.ndarray | None:
    """What `stage` wrote for every image and class, `dtype` (count, classes); None if it has no row: switched off.

    Raises InputError if the file is missing, damaged, or of other data.
    """
    expected = f"what the stage {stage} writes for {count} images and {classes} classes"
    remedy = f"run that stage: dvc repro {stage}"
    try:
        values_NK = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", expected, remedy) from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(str(path), f"not readable: {error}", expected, remedy) from error
    if values_NK.shape == (0, classes):
        return None
    if values_NK.shape != (count, classes) or values_NK.dtype != dtype:
        raise InputError(str(path), f"{values_NK.dtype} {values_NK.shape}", expected, remedy)
    return np.asarray(values_NK)
