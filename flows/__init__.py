"""Prefect: when the pipeline runs, and what can be seen of it; what is up to date is DVC's to decide."""

from __future__ import annotations

import os

from bmix.pipeline.repro import TELEMETRY_OFF

# Prefect reads its environment when it is imported, which the modules of this package do.
for _name, _value in TELEMETRY_OFF.items():
    os.environ.setdefault(_name, _value)
