"""Stage warmup: the first epochs, on the given labels as they are, from a pre-trained backbone if there is one."""

from __future__ import annotations

from bmix.data.pretrained import read_pretrained
from bmix.params import load_params
from bmix.support import console
from bmix.support.files import replaced_folder
from bmix.training.loop import Trainer
from bmix.training.ranks import Ranks
from bmix.training.state import save_run
from stages.session import PRETRAINED, WARMUP, labelled_run, run_stage


def main() -> None:
    """Train for `training.warmup_epochs` and write models/warmup."""
    params = load_params()

    def build(ranks: Ranks) -> Trainer:
        pretrained = read_pretrained(PRETRAINED)
        return labelled_run(params, ranks, pretrained=None if pretrained is None else pretrained.weights)

    def finish(trainer: Trainer) -> None:
        if trainer.ranks.first:
            with replaced_folder(WARMUP) as temporary:
                save_run(trainer, temporary)

    run_stage("warmup", params, params.training.warmup_epochs, build, finish, live=True)


if __name__ == "__main__":
    console.run(main, "stages.warmup", __doc__)
