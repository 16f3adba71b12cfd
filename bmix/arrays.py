"""Arrays, whatever they are given as."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """An array of what numpy takes, and of tensors, which it does not take with gradients, from a GPU or as bfloat16.

    The latter become float32. No copy is made where none is needed. torch is not imported.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.asarray(values)
