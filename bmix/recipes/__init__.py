"""What happens in a step and at the end of an epoch, one recipe a file."""

from bmix.recipes.balancemix import BalanceMix
from bmix.recipes.base import Recipe
from bmix.recipes.bce import PlainBCE
from bmix.recipes.mixup import Mixup

RECIPES: dict[str, type[Recipe]] = {"bce": PlainBCE, "mixup": Mixup, "balancemix": BalanceMix}
"""Every recipe under the name that `training.recipe` gives it."""
