"""Whether today's new images look like the accepted ones: a two-sample test on the features that the audit uses.

The kernel two-sample test (Gretton et al. 2012) by permutation, on features of a pre-trained network, the combination
that Rabanser, Günnemann and Lipton (Failing Loudly, 2019) recommend to detect shifts of images.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bmix.audit.choice import judged_by
from bmix.data.manifest import Manifest, holds_features
from bmix.params import Params
from bmix.pipeline.projects import Project
from bmix.randomness import numpy_generator
from bmix.support.errors import InputError
from bmix.support.files import replaced
from bmix.workspace.locked import file_digest
from bmix.workspace.project import project_root

SAMPLE = 500
"""Images that stand for a data set: with many more, differences count that nobody would care for."""
FEWEST = 20
"""New images below which they are not compared."""
PERMUTATIONS = 999
FILE = "features.npz"


@dataclass(frozen=True)
class Features:
    """Features of images, float32 (N, D). origin: what they are of; only those of one origin can be compared."""

    values_ND: np.ndarray
    origin: str

    def write(self, path: Path) -> None:
        """Keep them as float16, in the place of a file that is there."""
        with replaced(path) as temporary, temporary.open("wb") as file:
            np.savez(file, values=self.values_ND.astype(np.float16), origin=self.origin)

    @classmethod
    def read(cls, path: Path) -> Features | None:
        """What `write` has kept; None if it is not there, or damaged."""
        try:
            with np.load(path, allow_pickle=False) as held:
                return cls(held["values"].astype(np.float32), str(held["origin"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


@dataclass(frozen=True)
class Drift:
    """How far two samples are apart. distance: their squared mean discrepancy, at least 0. p: of a distance as great
    by chance, if both are drawn from the same images.
    """  # fmt: skip

    distance: float
    p: float


def audit_features(project: Path, params: Params, manifest: Manifest, rows_N: np.ndarray) -> Features | str:
    """The features of some rows of a prepared data set that its audit uses; in words why there are none.

    rows_N: row numbers of the manifest. What the backbone has not embedded yet is embedded.
    """
    try:
        kind = judged_by(params, holds_features(manifest))
        if kind == "off":
            return "the audit has no features (audit.features, audit.weights)"
        if kind == "network":
            return "the audit's networks are trained anew every night: no two nights have the same features"
        root = project / params.image_root
        if kind == "source":
            from bmix.data.stores import all_features

            values_ND = np.asarray(all_features(root, len(manifest.frame))[rows_N, 0])
            return Features(values_ND.astype(np.float32), f"source, {values_ND.shape[1]} values")
        # torch comes with it, which takes seconds.
        from bmix.audit.frozen import frozen_features

        audit, cache = params.audit, project_root() / ".bmix" / "embeddings"
        chosen = replace(manifest, frame=manifest.frame.iloc[rows_N])
        values_ND = frozen_features(chosen, root, audit.backbone, audit.weights, audit.image_size, cache)
        origin = f"{audit.backbone}, {_identified(audit.weights)}, {audit.image_size} pixels"
        return Features(values_ND.astype(np.float32), origin)
    except InputError as error:
        return " ".join(f"{error.where}: {error.found}".split())


def _identified(weights: str) -> str:
    """`weights`, with the digest of its content where it is a file: another one may take its place."""
    path = Path(weights)
    return f"{weights} ({file_digest(path)})" if path.is_file() else weights


def keep_sample(project: Project, manifest: Manifest, folder: Path) -> None:
    """Keep the features of a sample of the prepared images of a project in a folder; nothing where there are none."""
    params = project.params
    rows_N = drawn_rows(np.arange(len(manifest.frame)), params.audit.seed, "accepted")
    features = audit_features(project.folder, params, manifest, rows_N)
    if isinstance(features, Features):
        features.write(folder / FILE)


def drawn_rows(rows_N: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """SAMPLE of the rows without replacement, in their order; all where there are no more."""
    if len(rows_N) <= SAMPLE:
        return rows_N
    return np.sort(numpy_generator(seed, "drift", purpose).choice(rows_N, SAMPLE, replace=False))


def two_sample_test(first_ND: np.ndarray, second_MD: np.ndarray, generator: np.random.Generator) -> Drift:
    """The maximum mean discrepancy of two samples, and its p by PERMUTATIONS of who belongs to which.

    The kernel is Gaussian; its width, and the scale of every feature, are those of both samples together, so that p
    is exact whatever the features: under the same distribution P(p <= a) <= a.
    """
    both_ND = np.concatenate([first_ND, second_MD]).astype(np.float64)
    deviation_D = both_ND.std(axis=0)
    scaled_ND = (both_ND - both_ND.mean(axis=0))[:, deviation_D > 0] / deviation_D[deviation_D > 0]
    squares_N = (scaled_ND**2).sum(axis=1)
    distances_NN = np.maximum(squares_N[:, None] + squares_N[None] - 2 * scaled_ND @ scaled_ND.T, 0)
    width = float(np.median(distances_NN[np.triu_indices(len(both_ND), 1)]))
    kernel_NN = np.exp(-distances_NN / (width or 1.0))
    sizes = len(first_ND), len(second_MD)
    weights_N = np.repeat([1 / sizes[0], -1 / sizes[1]], sizes)
    weights_RN = np.stack([weights_N, *(generator.permutation(weights_N) for _ in range(PERMUTATIONS))])
    discrepancies_R = ((weights_RN @ kernel_NN) * weights_RN).sum(axis=1)
    # Equal up to rounding counts as equal.
    as_great = discrepancies_R >= discrepancies_R[0] - 1e-12
    return Drift(max(float(discrepancies_R[0]), 0.0), float(as_great.mean()))
