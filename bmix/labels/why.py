"""In words, why a label is doubted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bmix.labels.scored import NETWORK, Scored


def why(scored: Scored, label: Mapping[Any, Any]) -> str:
    """One sentence on a label, a row of `scored.frame`."""
    name, given = label["class"], label["given"]
    if scored.judged_by == NETWORK:
        # Of the loss of a given value p is exp(-loss) or 1 minus that.
        agreed = float(np.exp(-label["evidence"]))
        sure = share(agreed if given == 1 else 1 - agreed)
        clean = scored.classes.get(name, {}).get("mean_0")
        compared = "" if clean is None or given == 0 else f"; the clean labels of the class have {clean:.2g} on average"
        return f"the network sees {name} with {sure}: a loss of {label['evidence']:.2f}{compared}"
    typical = 1 / (1 + np.exp(-label["quality"]))
    sentence = f"of images like this {share(typical if given == 1 else 1 - typical)} are given {name}"
    sentence += "" if given == 1 else ", and this one is not"
    return sentence if scored.can_tell(name) else f"{sentence}; these features hardly tell {name} apart"


def share(value: float) -> str:
    """A share in [0, 1] in per cent, as precise as it says something."""
    if 0 < value < 0.001:
        return "less than 0.1 %"
    if 0.999 < value < 1:
        return "more than 99.9 %"
    return f"{100 * value:.1f} %" if value < 0.1 or value > 0.9 else f"{100 * value:.0f} %"
