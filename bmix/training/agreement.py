"""Whether the processes of a run, perhaps on several machines, have equal inputs; if not, who differs in what."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from bmix.support.errors import InputError
from bmix.training.identity import differences
from bmix.training.ranks import Ranks


def refuse_disagreement(ranks: Ranks, parts: Mapping[str, Any]) -> None:
    """InputError on every process if the parts of one, JSON under readable names, are not those of the first."""
    if ranks.count == 1:
        return
    own = json.dumps({"host": socket.gethostname(), "parts": dict(parts)})
    everyone = [json.loads(text) for text in ranks.texts(own)]
    first = everyone[0]
    for rank, other in enumerate(everyone):
        if table := differences(first["parts"], other["parts"]):
            lines = "".join(f"\n    {line}" for line in table)
            raise InputError(
                f"process {rank} of the training, on {other['host']}",
                f"differs from process 0, on {first['host']}, in{lines}",
                "the same params, data, code and checkpoints for all",
                "start the stage in the same folder, shared by the machines, or in copies that are equal",
            )
