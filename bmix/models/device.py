"""Where a single process computes."""

from __future__ import annotations

import torch


def available_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
