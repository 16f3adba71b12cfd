"""What judges the labels: the source's own features, a frozen backbone, two networks, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bmix.models.registry import check_weights
from bmix.support.errors import InputError

if TYPE_CHECKING:
    from bmix.params import Params


def judged_by(params: Params, holds_features: bool) -> str:
    """`source`, `backbone`, `network` or `off`.

    Raises InputError for a choice that the data or the weights do not allow.
    """
    audit = params.audit
    if holds_features:
        if audit.features in ("backbone", "network"):
            expected = "auto or off: features are judged by themselves"
            raise InputError(
                "params.yaml, audit.features", f"{audit.features}, and the data is features", expected, "set it to auto"
            )
        return "off" if audit.features == "off" else "source"
    if audit.features == "auto":
        return "off" if audit.weights == "none" else "backbone"
    if audit.features == "backbone" and audit.weights == "none":
        raise InputError(
            "params.yaml, audit.weights",
            "none, and audit.features is backbone",
            "pre-trained weights: an untrained backbone tells nothing apart",
            "name a weights file, or imagenet, or set audit.features to network",
        )
    return audit.features


def check_audit(params: Params, holds_features: bool) -> None:
    """InputError for a choice that cannot be met: see `judged_by`; also if `audit.weights` is no file."""
    if judged_by(params, holds_features) != "backbone":
        return
    if params.audit.backbone == "identity":
        found, expected = "identity, which takes no images", "a backbone for images"
        raise InputError("params.yaml, audit.backbone", found, expected, "name another")
    check_weights("audit.weights", params.audit.weights)
