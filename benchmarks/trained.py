"""One run from params, uncut, with pre-training and pseudo-labels where these ask for them, by the library alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bmix.data.manifest import Manifest
from bmix.data.pretrained import OFF, WEIGHTS
from bmix.params import Params
from bmix.pretraining.run import build_pretraining, write_pretrained
from bmix.pseudo.check import check_pseudo
from bmix.support.errors import InputError
from bmix.support.locks import held
from bmix.training.loop import Trainer
from bmix.training.run import advance, build_trainer
from bmix.training.state import load_run, save_run
from bmix.workspace.locked import digest
from stages.pseudo import judge


class Trained(NamedTuple):
    """A finished run, and the pseudo-labels int8 (U, K) that it learnt from, None if there are none."""

    trainer: Trainer
    pseudo_UK: np.ndarray | None


def trained(
    params: Params,
    manifest: Manifest,
    given_NK: np.ndarray,
    pretrained: Path | None = None,
    true_NK: np.ndarray | None = None,
    present_NK: np.ndarray | None = None,
) -> Trained:
    """Train for all epochs. pretrained: weights of the backbone; the labels are those of `build_trainer`."""

    def build(pseudo_UK: np.ndarray | None) -> Trainer:
        return build_trainer(
            params,
            manifest,
            given_NK,
            true_NK=true_NK,
            present_NK=present_NK,
            pretrained=pretrained,
            pseudo_UK=pseudo_UK,
        )

    check_pseudo(params, manifest.splits(), "the prepared data")
    trainer, pseudo_UK = build(None), None
    if params.pseudo.use:
        advance(trainer, params.training.warmup_epochs)
        pseudo_UK = judge(trainer, params, manifest)
        with tempfile.TemporaryDirectory() as name:
            save_run(trainer, Path(name))
            trainer = build(pseudo_UK)
            load_run(trainer, Path(name))
    advance(trainer, params.training.epochs)
    return Trained(trainer, pseudo_UK)


def pretrained_once(params: Params, manifest: Manifest, home: Path) -> Path | None:
    """The weights of pre-training, made by the first process that asks and kept in `home`; None if it is off."""
    if params.pretrain.method == OFF:
        return None
    folder = home / digest(params.model_dump(include={"data", "model", "pretrain"}))
    return made_once(folder, lambda: _pretrain(params, manifest, folder)) / WEIGHTS


def made_once(path: Path, make: Callable[[], None]) -> Path:
    """`path`, a file or folder that `make` makes, made by the first process that asks; the others wait for it."""

    def refusal(process: str) -> InputError:
        return InputError(
            str(path),
            f"process {process} has been making it for an hour",
            "a file or folder that is there",
            "end that process and start again",
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path.with_suffix(".lock"), refusal, 3600, f"waiting for the process that makes {path.name}"):
        if not path.exists():
            make()
    return path


def _pretrain(params: Params, manifest: Manifest, folder: Path) -> None:
    task = build_pretraining(params, manifest)
    advance(task, params.pretrain.epochs)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name) / "made"
        made.mkdir()
        write_pretrained(task, params.pretrain.method, made)
        made.rename(folder)
