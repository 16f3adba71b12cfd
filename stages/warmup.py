"""Stage warmup: the first epochs, on the given labels as they are."""

from __future__ import annotations

from bmix.params import load_params
from bmix.support import console
from bmix.support.files import replaced_folder
from bmix.training.loop import Trainer
from bmix.training.state import save_run
from stages.session import WARMUP, run_stage


def main() -> None:
    """Train for `training.warmup_epochs` and write models/warmup."""
    params = load_params()

    def finish(trainer: Trainer) -> None:
        if trainer.ranks.first:
            with replaced_folder(WARMUP) as temporary:
                save_run(trainer, temporary)

    run_stage("warmup", params, params.training.warmup_epochs, None, finish)


if __name__ == "__main__":
    console.run(main, "stages.warmup", __doc__)
