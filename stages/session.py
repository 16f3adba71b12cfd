"""What the stages warmup and train share: one run, resumed where it was killed, alone on its checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.errors import InputError
from bmix.params import Params
from bmix.tracking.destination import project_root
from bmix.tracking.live import LiveRun
from bmix.tracking.timings import note_epochs
from bmix.training.checkpoint import Checkpoints, claimed, run_key
from bmix.training.loop import Trainer
from bmix.training.run import advance, build_trainer
from bmix.training.state import STATE_FILES, load_state

PREPARED, NOISY, WARMUP = Path("data/prepared"), Path("data/noisy"), Path("models/warmup")
CODE = [Path("bmix", room) for room in ("data", "method", "models", "recipes", "training")]
CODE += [Path("bmix/evaluation/metrics.py"), Path("bmix/randomness.py"), Path("bmix/torchvision_import.py")]


def run_stage(stage: str, params: Params, until: int, start: Path | None, finish: Callable[[Trainer], None]) -> None:
    """Train until `until`, from the state in `start` or from nothing, then `finish`; a killed run goes on."""
    inputs = [PREPARED / "manifest.parquet", PREPARED / "classes.json", NOISY / "labels.parquet"]
    inputs += [start / name for name in STATE_FILES] if start is not None else []
    _refuse_missing(inputs)
    settings = params.model_dump(include={"data", "model", "training", "method"})
    folder = project_root() / ".bmix" / "checkpoints" / f"{stage}-{run_key(settings, inputs, CODE)}"
    with claimed(folder):
        manifest = read_manifest(PREPARED)
        _, given_NK, _ = read_labels(NOISY, manifest)
        trainer = build_trainer(params, manifest, given_NK)
        checkpoints = Checkpoints(folder)
        if checkpoints.resume(trainer):
            print(f"goes on after epoch {trainer.epoch} from {folder}", flush=True)
        elif start is not None:
            load_state(trainer, start)
        live = LiveRun.start(stage, params.flat())

        def on_epoch(trainer: Trainer) -> None:
            live.log_epoch(trainer.records.history[-1], trainer.epoch)

        try:
            advance(trainer, until, checkpoints, on_epoch)
        finally:
            live.end("FINISHED" if trainer.epoch == until else "FAILED")
        note_epochs(stage, trainer.records.seconds)
        finish(trainer)
        checkpoints.drop()


def _refuse_missing(inputs: list[Path]) -> None:
    for path in inputs:
        if not path.is_file():
            raise InputError(str(path), "no such file", "the outputs of the stages before", "run them: dvc repro")
