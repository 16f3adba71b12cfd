"""The one door to torchvision: `transforms` (version 2) and `models`, beside a CPU-only torch too.

PyPI's torchvision is built for CUDA. Beside a CPU-only torch its compiled library does not load, its operators stay
undeclared, and its import dies with "operator torchvision::nms does not exist". Declared without an implementation,
they let everything else work: transforms, models and datasets. `ops.nms` and `io.decode_jpeg` do not.
"""

from __future__ import annotations

import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _declare_missing_operators() -> torch.library.Library:
    half_imported = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
    for name in half_imported:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


try:
    import torchvision
except RuntimeError as error:
    if "operator torchvision::" not in str(error):
        raise
    # The operators stay declared as long as this object lives.
    _declarations = _declare_missing_operators()
    import torchvision
from torchvision import models  # noqa: E402
from torchvision.transforms import v2 as transforms  # noqa: E402

__all__ = ["models", "torchvision", "transforms"]
