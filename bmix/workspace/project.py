"""Where the project lies."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """The folder of params.yaml; in a copy that the pipeline or DVC made, the folder of the original."""
    here = Path.cwd()
    if home := os.environ.get("BMIX_HOME"):
        return Path(home).absolute().parent
    if here.parts[-3:-1] == (".bmix", "runs"):
        return here.parents[2]
    original = os.environ.get("DVC_ROOT")
    if original and Path(original, ".dvc", "tmp") in here.parents:
        return Path(original).absolute()
    return here
