"""A pre-trained backbone, taken over by the networks that start from it."""

from __future__ import annotations

from pathlib import Path

from bmix.models.ensemble import Ensemble, Network
from bmix.models.weights import load_weights, read_weights
from bmix.support.errors import InputError


def load_backbone(network: Network | Ensemble, path: Path) -> None:
    """Copy the backbone in a file of the stage pretrain into a network, or each of several; heads stay as they are.

    InputError if the file is missing or damaged, or holds another backbone.
    """
    state = read_weights(path)
    for member in network.members if isinstance(network, Ensemble) else [network]:
        try:
            load_weights(member, state, str(path))  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(
                error.where,
                error.found,
                "the backbone that model.backbone names",
                "pre-train it: dvc repro --force --single-item pretrain; or set pretrain.method to off",
            ) from error
