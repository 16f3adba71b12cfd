"""From an accepted version back to all outputs of its run: data, labels, model, verdicts, report."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from bmix.models.calibration import weights_digest
from bmix.models.registry import WEIGHTS
from bmix.params import read_yaml
from bmix.pipeline.copies import refresh_copy
from bmix.pipeline.projects import RUNS
from bmix.pipeline.repro import shown_command, stage_environment
from bmix.retraining.versions import PREPARED, WAY_BACK, Version
from bmix.support.errors import InputError
from bmix.support.files import replaced
from bmix.workspace.locked import file_digest

_PATIENCE = 60 * 60


def restore(version: Version) -> Path:
    """Make the copy `.bmix/runs/version-NUMBER` and have DVC's cache fill it; its folder.

    The project's own params.yaml, dvc.lock and outputs are not touched. InputError if the cache no longer holds an
    output, or if what it gave back is another model.
    """
    folder = RUNS / f"version-{version.number:04d}"
    refresh_copy(Path(), folder, read_yaml(version.folder / "params.yaml"))
    for name in WAY_BACK[1:]:
        with replaced(folder / name) as temporary:
            temporary.write_bytes((version.folder / name).read_bytes())
    command = [sys.executable, "-m", "dvc", "checkout", "--force", "--quiet"]
    done = subprocess.run(
        command, cwd=folder, env=stage_environment(), capture_output=True, text=True, timeout=_PATIENCE
    )
    if done.returncode != 0:
        raise InputError(
            f"{folder}, {version.name}",
            f"DVC's cache does not give it back: {' '.join(done.stderr.split())}",
            "outputs that the cache holds, or a remote",
            f"{shown_command('dvc', 'pull', folder)}; the model itself is in {shlex.quote(str(version.folder))}",
        )
    if weights_digest(folder / "models" / "final" / WEIGHTS) != version.note["weights"]:
        found = "DVC's cache gave back another model"
        raise InputError(f"{folder}, {version.name}", found, "the model of the version", f"use {version.folder}")
    return folder


def run_with_data(version: Version) -> Path:
    """A folder whose data/prepared is that of the version: the one that it was made in, or else a restored copy."""
    folder = Path(version.note["run"])
    if is_data_of(folder, version):
        return folder
    return restore(version)


def is_data_of(folder: Path, version: Version) -> bool:
    """Whether the data that is prepared in a folder is, byte for byte, that of a version."""
    prepared = [folder / "data" / "prepared" / name for name in PREPARED]
    return all(path.is_file() for path in prepared) and file_digest(*prepared) == file_digest(
        *(version.data / name for name in PREPARED)
    )
