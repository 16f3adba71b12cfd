"""Stage noise: the training labels as the model will see them, in `data/noisy`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bmix.data.manifest import read_manifest
from bmix.data.noisy import known_truth, write_labels
from bmix.noise import KINDS, inject, measured_rates
from bmix.noise.checks import noise_matrix
from bmix.params import NoiseParams, load_params
from bmix.randomness import numpy_generator
from bmix.support import console
from bmix.support.errors import InputError, quoted
from bmix.support.files import replaced_folder, write_json
from bmix.workspace.timings import stage_timing

PREPARED, NOISY = Path("data/prepared"), Path("data/noisy")


def main() -> None:
    """Read params.yaml and the manifest; write labels.parquet and noise.json.

    Ignored cells are 0 before and after: what the noise puts there is taken back, and they count nowhere. Labels that
    people looked at stay as they were answered. Without injected noise the source's own truth is written, where it has
    one. Raises InputError for a bad `noise.matrix`, for noise on labels whose truth the source knows, and where a class
    has no given positive left.
    """
    with stage_timing("noise"), replaced_folder(NOISY) as folder:
        noise = load_params().noise
        manifest = read_manifest(PREPARED)
        labels_NK, ignored_NK = manifest.labels("train"), manifest.ignored_if_any("train")
        true_NK = known_truth(manifest, noise.kind, labels_NK)
        rng = numpy_generator(noise.seed, "noise")
        matrix_KK = noise_matrix(noise.kind, noise.rate, Path(noise.matrix), manifest.classes)
        given_NK = inject(labels_NK, noise.kind, noise.rate, rng, matrix_KK)
        if ignored_NK is not None:
            given_NK[ignored_NK] = 0
        if (reviewed_NK := manifest.reviewed_if_any("train")) is not None:
            given_NK[reviewed_NK] = labels_NK[reviewed_NK]
        _refuse_absent_classes(given_NK, manifest.classes, noise)
        write_labels(folder, manifest, given_NK, true_NK)
        measured = measured_rates(labels_NK if true_NK is None else true_NK, given_NK, ignored_NK)
        write_json(folder / "noise.json", {"kind": noise.kind, "rate": noise.rate, "measured": measured})


def _refuse_absent_classes(given_NK: np.ndarray, classes: list[str], noise: NoiseParams) -> None:
    absent = [classes[k] for k in np.flatnonzero(given_NK.max(axis=0, initial=0) == 0)]
    if absent:
        other_seed = "another noise.seed, or leave these classes out"
        raise InputError(
            "params.yaml, noise",
            f"kind {noise.kind}, rate {noise.rate} and seed {noise.seed} leave no given positive of {quoted(absent)}",
            "a given positive of every class",
            f"lower noise.rate, or try {other_seed}" if KINDS[noise.kind].uses_rate else f"try {other_seed}",
        )


if __name__ == "__main__":
    console.run(main, "stages.noise", __doc__)
