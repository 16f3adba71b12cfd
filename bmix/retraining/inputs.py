"""What a night depends on, so that one without anything new ends within seconds, and what was decided of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bmix.params import PLACES, Params
from bmix.pipeline.data_check import places_digest, remember, remembered
from bmix.pipeline.projects import HOME
from bmix.retraining.versions import CHAMPION, PREVIOUS
from bmix.workspace.pipeline_file import CODE_FOLDERS

OWN = HOME / "retraining"
_DECISION = OWN / "decision.json"


@dataclass(frozen=True)
class Inputs:
    """Digests of all that decides a night.

    files: path, size and time of change of every input file; where they are equal nothing is read. settings: params,
    those of the gates too, and code. membership, labels: of the images and labels that were read; "" before that.
    """

    files: str
    settings: str
    membership: str = ""
    labels: str = ""

    @property
    def meaning(self) -> tuple[str, str, str]:
        """All but the state of the files, which may be touched without a change."""
        return self.settings, self.membership, self.labels


@dataclass(frozen=True)
class Decision:
    """What was decided last, and of which inputs."""

    inputs: Inputs
    night: str
    result: str
    reason: str

    @property
    def told(self) -> str:
        """The decision in a line."""
        told = f"the inputs are those of the night of {self.night[:19]}, which was {self.result}"
        return f"{told}: {self.reason}" if self.result.startswith("rejected") else told

    def remember(self) -> None:
        """Keep it for the next night."""
        OWN.mkdir(parents=True, exist_ok=True)
        remember(_DECISION, asdict(self))


def last_decision() -> Decision | None:
    """The decision that was remembered; None if there is none that can be read."""
    try:
        content = dict(remembered(_DECISION))
        return Decision(Inputs(**content.pop("inputs")), **content)
    except (TypeError, ValueError, KeyError):
        return None


def look_at_inputs(params: Params) -> Inputs:
    """The inputs as they lie there, before any of them is read."""
    values = params.flat()
    places = [str(values[".".join(place)]) for place in PLACES]
    files = places_digest(place for place in places if not _follows_champion(place))
    state = hashlib.blake2b(json.dumps(params.model_dump(), sort_keys=True).encode(), digest_size=16)
    for path in [Path("dvc.yaml"), *(file for name in CODE_FOLDERS for file in sorted(Path(name).rglob("*.py")))]:
        content = path.read_bytes()
        state.update(f"\0{path}\0{len(content)}\0".encode())
        state.update(content)
    return Inputs(files, state.hexdigest())


def _follows_champion(place: str) -> bool:
    """Whether a model to go on from is the served one: a night that promotes changes it, which is nothing new."""
    return any(link in (Path(place), *Path(place).parents) for link in (CHAMPION, PREVIOUS))
