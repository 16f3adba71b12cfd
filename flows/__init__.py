"""Prefect: when the pipeline runs, and what can be seen of it; what is up to date is DVC's to decide."""

from __future__ import annotations

import os

from bmix.pipeline.repro import TELEMETRY_OFF

# Prefect reads its environment when it is imported, which the modules of this package do.
_SETTINGS = {
    **TELEMETRY_OFF,
    # A run needs no server, whatever a profile says of the temporary one.
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    # That one makes its database at the first start, for which a busy machine needs more than 20 seconds.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
