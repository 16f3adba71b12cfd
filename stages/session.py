"""What the stages that train share: one run, resumed where it was killed, alone on its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmix.data.manifest import read_manifest
from bmix.data.noisy import read_labels
from bmix.data.present import read_present
from bmix.data.pseudo import read_pseudo
from bmix.models.registry import weights_file
from bmix.params import Params
from bmix.recipes import RECIPES
from bmix.support.errors import InputError
from bmix.tracking.live import LiveRun
from bmix.training.agreement import refuse_disagreement
from bmix.training.checkpoint import Checkpoints, claimed
from bmix.training.identity import RunIdentity
from bmix.training.launch import launch
from bmix.training.loop import Trainer
from bmix.training.ranks import Ranks, process_group
from bmix.training.run import advance, build_trainer
from bmix.training.state import load_run
from bmix.workspace.pipeline_file import declared
from bmix.workspace.project import project_root
from bmix.workspace.timings import failure_noted, note_epochs, stage_timing

PREPARED, NOISY, PSEUDO = Path("data/prepared"), Path("data/noisy"), Path("data/pseudo")
AUDIT, PRETRAINED, WARMUP = Path("data/audit"), Path("models/pretrained"), Path("models/warmup")


def run_stage(
    stage: str,
    params: Params,
    until: int,
    build: Callable[[Ranks], Trainer],
    finish: Callable[[Trainer], None],
    start: Path | None = None,
    live: bool = False,
) -> None:
    """Train what `build` gives until `until`, from the state in `start` or from nothing, then `finish`; a killed run
    goes on. live: MLflow shows its epochs while it trains.

    With `training.processes` above 1 this process becomes torchrun, whose processes come here again; all of them call
    `finish`.
    """
    with failure_noted(stage, replace=True):
        launch(f"stages.{stage}", params.training.processes, params.training.threads)
    declaration = declared(stage, params.flat())
    with process_group() as ranks, _watched(stage, ranks):
        _refuse_missing(declaration.inputs)
        # DVC knows the weights by their path alone, which may also be a word such as none.
        weights = [path for path in [weights_file(Path(params.model.weights))] if path.is_file()]
        settings = declaration.settings(params.flat())
        identity = RunIdentity.of(determining(settings), [*declaration.inputs, *weights], declaration.code)
        refuse_disagreement(ranks, identity.parts)
        checkpoints = Checkpoints(project_root() / ".bmix" / "checkpoints", stage, identity)
        with _claimed_by_first(checkpoints.folder, ranks):
            trainer = _begin(build(ranks), checkpoints, start)
            refuse_disagreement(ranks, {"epochs trained so far": trainer.epoch})
            _train(stage, params, trainer, until, checkpoints, live)
            finish(trainer)
            if ranks.first:
                checkpoints.finish(keep=can_be_longer(settings))


def can_be_longer(settings: dict[str, Any]) -> bool:
    """Whether a run is the beginning of a longer one: nothing in it depends on the number of its epochs."""
    return settings.get("training.schedule") == "constant"


def determining(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that determine a run epoch by epoch: without the number of epochs where that has no say."""
    return {key: value for key, value in settings.items() if key != "training.epochs" or not can_be_longer(settings)}


def labelled_run(params: Params, ranks: Ranks, pretrained: Path | None = None, pseudo: bool = False) -> Trainer:
    """A run on the given labels before its first epoch.

    pretrained: the weights that its backbone starts from. pseudo: pseudo-labelled images join the random sampler, if
    there are any.
    """
    manifest = read_manifest(PREPARED)
    _, given_NK, true_NK = read_labels(NOISY, manifest)
    present_NK = read_present(AUDIT, *given_NK.shape) if RECIPES[params.training.recipe].uses_audit else None
    pseudo_UK = read_pseudo(PSEUDO, len(manifest.rows("unlabelled")), len(manifest.classes)) if pseudo else None
    return build_trainer(params, manifest, given_NK, ranks, true_NK, present_NK, pretrained, pseudo_UK)


def _begin(trainer: Trainer, checkpoints: Checkpoints, start: Path | None) -> Trainer:
    if checkpoints.resume(trainer):
        if trainer.ranks.first:
            _tell([f"goes on after epoch {trainer.epoch} from {checkpoints.folder}"])
        return trainer
    if trainer.ranks.first:
        _tell(checkpoints.other_run())
    if start is not None:
        load_run(trainer, start)
    return trainer


def _train(stage: str, params: Params, trainer: Trainer, until: int, checkpoints: Checkpoints, live: bool) -> None:
    if not trainer.ranks.first:
        advance(trainer, until)
        return
    shown = LiveRun.start(stage, params.flat()) if live else LiveRun(None)

    def on_epoch(trainer: Trainer) -> None:
        checkpoints.save(trainer)
        shown.log_epoch(trainer.tables.history[-1], trainer.epoch)

    try:
        advance(trainer, until, on_epoch)
    finally:
        shown.end("FINISHED" if trainer.epoch == until else "FAILED")
    note_epochs(stage, trainer.tables.seconds)


@contextmanager
def _watched(stage: str, ranks: Ranks) -> Iterator[None]:
    """Note the time of the run, by one of its processes, and a failure, by any."""
    with stage_timing(stage) if ranks.first else failure_noted(stage):
        yield


@contextmanager
def _claimed_by_first(folder: Path, ranks: Ranks) -> Iterator[None]:
    if not ranks.first:
        ranks.wait()
        yield
        return
    with claimed(folder):
        ranks.wait()
        yield


def _tell(lines: list[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _refuse_missing(inputs: list[Path]) -> None:
    for path in inputs:
        if not path.exists():
            raise InputError(str(path), "no such file", "the outputs of the stages before", "run them: dvc repro")
