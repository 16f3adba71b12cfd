"""How many pictures of a data set are tiny, nearly constant or nearly black, and how the unusual ones were read."""

from __future__ import annotations

import numpy as np

from bmix.data.decoding import Conversion

TINY = 16
"""A picture whose shorter side has fewer pixels is counted: nothing can be recognised on it."""

_DEPTHS = {
    Conversion.EIGHT_BITS: "as 8 bits, no value above 255",
    Conversion.TWELVE_BITS: "as 12 bits, no value above 4,095",
    Conversion.SIXTEEN_BITS: "as 16 bits",
}


def look_notes(paths: np.ndarray, found: np.ndarray) -> dict[str, str]:
    """Notes for the facts on images that look odd or had to be converted by a choice; empty for plain photographs.

    paths: the path of each image. found: its fields `side`, `conversion`, `uniform` and `dark` as in Found.
    """
    notes = {}
    if tiny := int((found["side"] < TINY).sum()):
        notes["tiny"] = f"{tiny} images with a side under {TINY} pixels"
    dark = found["dark"] & ~found["uniform"]
    for name, is_so in (("nearly constant", found["uniform"]), ("nearly black", dark)):
        if count := int(is_so.sum()):
            counted = "1 image is" if count == 1 else f"{count} images are"
            notes[name] = f'{counted} {name}, e.g. "{paths[int(is_so.argmax())]}"'
    count_of = {kind: int((found["conversion"] == kind).sum()) for kind in Conversion}
    if transparent := [
        f"{count_of[kind]} on {ground}"
        for kind, ground in ((Conversion.ON_WHITE, "white"), (Conversion.ON_BLACK, "black"))
        if count_of[kind]
    ]:
        notes["transparent"] = f"images with transparent parts are shown on a ground: {', '.join(transparent)}"
    if depths := [f"{count_of[kind]} read {how}" for kind, how in _DEPTHS.items() if count_of[kind]]:
        mixed = len(depths) > 1
        notes["mixed depth" if mixed else "depth"] = f"16-bit grey: {'; '.join(depths)}" + (
            "; equal values give unequal grey, so save all of them with 8 bits by one rule" if mixed else ""
        )
    return notes
