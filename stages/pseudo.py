"""Stage pseudo: the images of split unlabelled get labels from the warmed-up model, in `data/pseudo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmix.data.manifest import read_manifest
from bmix.data.pseudo import write_nothing, write_pseudo
from bmix.params import Params, load_params
from bmix.pseudo.check import check_pseudo
from bmix.support import console
from bmix.support.files import replaced_folder
from bmix.workspace.timings import stage_timing

if TYPE_CHECKING:
    import numpy as np

    from bmix.data.manifest import Manifest
    from bmix.training.loop import Trainer

SPLIT = "unlabelled"
PREPARED, PSEUDO, WARMUP = Path("data/prepared"), Path("data/pseudo"), Path("models/warmup")


def main() -> None:
    """Write pseudo_labels.npy and pseudo.json; without a label where `pseudo.use` is false."""
    with stage_timing("pseudo"), replaced_folder(PSEUDO) as folder:
        params, manifest = load_params(), read_manifest(PREPARED)
        if not params.pseudo.use:
            write_nothing(folder, len(manifest.classes))
            print("no image gets a pseudo-label: pseudo.use is false", flush=True)
            return
        check_pseudo(params, manifest.splits(), str(PREPARED / "manifest.parquet"))
        labels_UK, note = labelled(params, manifest)
        write_pseudo(folder, labels_UK, note)
        print(told(note), flush=True)


def labelled(params: Params, manifest: Manifest) -> tuple[np.ndarray, dict[str, Any]]:
    """The pseudo-labels, int8 (U, K), and what is known of them; the truth, where the source knows it, only scores."""
    # Where nothing is labelled, nothing of this is imported.
    from bmix.pseudo.labels import precision, pseudo_table
    from bmix.training.ranks import Ranks
    from bmix.training.state import load_run
    from stages.session import labelled_run

    trainer = labelled_run(params, Ranks())
    load_run(trainer, WARMUP)
    labels_UK = judge(trainer, params, manifest)
    true_UK = manifest.true_labels(SPLIT)
    return labels_UK, {
        "use": True,
        "images": len(labels_UK),
        "present": int((labels_UK == 1).sum()),
        "absent": int((labels_UK == 0).sum()),
        "unknown": int((labels_UK == -1).sum()),
        "present_precision": precision(labels_UK, true_UK, 1),
        "absent_precision": precision(labels_UK, true_UK, 0),
        "classes": pseudo_table(labels_UK, list(manifest.classes), true_UK),
    }


def judge(trainer: Trainer, params: Params, manifest: Manifest) -> np.ndarray:
    """The pseudo-labels by the network that `trainer` holds, int8 (U, K) of 0, 1 and -1, by the thresholds of params.

    Of single-label data the likeliest class alone. By the averaged weights where training averages them.
    """
    from bmix.data.stores import open_store
    from bmix.pseudo.labels import pseudo_classes, pseudo_labels
    from bmix.training.passes import PlainViews, confidence

    images = open_store(manifest, SPLIT, params.image_root, params.data.image_size)
    with trainer.engine.measured():
        confidence_UK = confidence(trainer.engine, images, PlainViews()).cpu().numpy()
    if params.single_label:
        return pseudo_classes(confidence_UK, params.pseudo.present)
    return pseudo_labels(confidence_UK, params.pseudo.present, params.pseudo.absent)


def told(note: dict[str, Any]) -> str:
    """What was labelled, for people."""
    total = note["present"] + note["absent"] + note["unknown"]
    right = note["present_precision"]
    return (
        f"{note['images']:,} unlabelled images: {note['present']:,} labels present"
        + ("" if right is None else f" ({right:.1%} of them right)")
        + f", {note['absent']:,} absent, {note['unknown'] / max(total, 1):.1%} of all left open"
    )


if __name__ == "__main__":
    console.run(main, "stages.pseudo", __doc__)
