"""Stage pretrain: the backbone learns from images alone, in `models/pretrained`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bmix.data.manifest import holds_features, read_images
from bmix.data.pretrained import OFF, write_nothing
from bmix.params import Params, load_params
from bmix.pretraining.check import check_pretraining
from bmix.support import console
from bmix.support.files import replaced_folder
from bmix.workspace.timings import stage_timing

if TYPE_CHECKING:
    from bmix.training.loop import Trainer

PREPARED, PRETRAINED = Path("data/prepared"), Path("models/pretrained")


def main() -> None:
    """Write the weights of the backbone, its history and a note of what ran; the note and no epoch where it is off."""
    params = load_params()
    if params.pretrain.method == OFF:
        with stage_timing("pretrain"), replaced_folder(PRETRAINED) as folder:
            write_nothing(folder)
            print("nothing is pre-trained: pretrain.method is off", flush=True)
        return
    pretrain(params)


def pretrain(params: Params) -> None:
    """Pre-train as params say, going on where a killed run stood."""
    # Where nothing is pre-trained, nothing of this is imported.
    from bmix.pretraining.run import build_pretraining, write_pretrained
    from bmix.training.ranks import Ranks
    from stages.session import run_stage

    def build(ranks: Ranks) -> Trainer:
        manifest = read_images(PREPARED)
        check_pretraining(params, holds_features(manifest))
        return build_pretraining(params, manifest, ranks)

    def finish(trainer: Trainer) -> None:
        if trainer.ranks.first:
            with replaced_folder(PRETRAINED) as temporary:
                write_pretrained(trainer, params.pretrain.method, temporary)

    run_stage("pretrain", params, params.pretrain.epochs, build, finish)


if __name__ == "__main__":
    console.run(main, "stages.pretrain", __doc__)
