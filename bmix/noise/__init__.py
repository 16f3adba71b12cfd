"""Label noise on label matrices."""

from bmix.noise.injection import inject
from bmix.noise.kinds import KINDS
from bmix.noise.measure import measured_rates, transition

__all__ = ["KINDS", "inject", "measured_rates", "transition"]
