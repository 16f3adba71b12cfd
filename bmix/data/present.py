"""What the audit says of the training labels, as training reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.data.stage_array import read_stage_array

PRESENT_FILE = "p_present.npy"


def read_present(folder: Path, count: int, classes: int) -> np.ndarray | None:
    """P(truly present) of every training label, float32 (N, K); None if nothing was audited.

    Raises InputError if the file is missing, damaged, or of other data.
    """
    return read_stage_array(folder / PRESENT_FILE, "audit", np.float32, count, classes)
