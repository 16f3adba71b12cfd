"""Stage train: the epochs after warm-up, and the closing verdicts on every label."""

from __future__ import annotations

from pathlib import Path

from bmix.params import load_params
from bmix.support import console
from bmix.training.loop import Trainer
from bmix.training.ranks import Ranks
from bmix.training.run import write_outputs
from stages.session import WARMUP, labelled_run, run_stage


def main() -> None:
    """Train from models/warmup to `training.epochs` and write the model, the verdicts and the records."""
    params = load_params()

    def build(ranks: Ranks) -> Trainer:
        return labelled_run(params, ranks, pseudo=True)

    def finish(trainer: Trainer) -> None:
        ledger = trainer.close()
        if trainer.ranks.first:
            write_outputs(trainer, ledger, Path())

    run_stage("train", params, params.training.epochs, build, finish, start=WARMUP, live=True)


if __name__ == "__main__":
    console.run(main, "stages.train", __doc__)
