"""The model of a folder as a service has it: loaded anew when the folder holds another one."""

from __future__ import annotations

from pathlib import Path

from bmix.models.calibration import CALIBRATION, weights_digest
from bmix.models.store import SPEC, WEIGHTS, Classifier
from bmix.serving.device import load_on_device
from bmix.serving.predict import image_size
from bmix.support.errors import InputError

State = tuple[tuple[int, int, int] | None, ...]
"""Of each file of the folder its inode, size and time of change; None where it is missing."""


class LiveModel:
    """`model` and `weights`, its digest, are replaced together; whoever took them before goes on with the old ones."""

    def __init__(self, folder: Path) -> None:
        """Load the model; InputError if it cannot be, or takes features."""
        self.folder = folder
        self._seen = _state(folder)
        self.current = _load(folder)

    def refresh(self) -> str:
        """Look whether the folder holds another model, and take it; what happened in a line, empty if nothing did.

        A folder that is being written, or that cannot be loaded, leaves the model that was there; it is looked at again
        when it changes.
        """
        state = _state(self.folder)
        if state == self._seen:
            return ""
        try:
            found = _load(self.folder)
        except (InputError, OSError) as error:
            self._seen = state
            return f"kept the model as it was: {' '.join(str(error).split())}"
        if _state(self.folder) != state:
            return ""
        self._seen, self.current = state, found
        return f"took the new model in {self.folder} ({found[1]})"


def _load(folder: Path) -> tuple[Classifier, str]:
    model = load_on_device(folder)
    image_size(model)
    return model, weights_digest(folder / WEIGHTS)


def _state(folder: Path) -> State:
    return tuple(_status(folder / name) for name in (WEIGHTS, SPEC, CALIBRATION))


def _status(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
