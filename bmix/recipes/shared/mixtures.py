"""The mixtures among the tensors of a recipe's state."""

from __future__ import annotations

import torch
from torch import Tensor

from bmix.method.mixture import LossMixtures

_PREFIX = "mixtures."


def mixtures_state(mixtures: LossMixtures) -> dict[str, Tensor]:
    """The tensors of the mixtures, under names of their own in a recipe's `state()`."""
    return {f"{_PREFIX}{name}": value for name, value in mixtures.state().items()}


def mixtures_of_state(state: dict[str, Tensor], device: torch.device) -> LossMixtures:
    """The mixtures of a state that holds them, on the device."""
    fitted = {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
    return LossMixtures.from_state({name: value.to(device) for name, value in fitted.items()})
