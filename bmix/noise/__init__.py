"""Label noise on label matrices."""

from bmix.noise.kinds import KINDS, inject, measured_rates, transition

__all__ = ["KINDS", "inject", "measured_rates", "transition"]
