"""Features of a frozen backbone, each image embedded once and kept by its digest."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from bmix.data.manifest import Manifest
from bmix.models.frozen import BATCH, features_of, frozen_backbone, load_images
from bmix.models.store import Classifier
from bmix.support.errors import InputError
from bmix.support.files import replaced
from bmix.support.pace import Pace

SETTINGS = (("model", "backbone"), ("model", "weights"), ("data", "image_size"))
PART_IMAGES = 512
"""Images of one file of the cache: what a killed run loses at most."""
NAMED = {f"{section}.{key}": f"audit.{key}" for section, key in SETTINGS}
_DIGEST = np.dtype("S64")


def frozen_features(
    manifest: Manifest, image_root: Path, backbone: str, weights: str, image_size: int, cache: Path
) -> np.ndarray:
    """Features float16 (N, D) of every row of the manifest, embedded where `cache` does not hold the image yet.

    cache: a folder of one's own; what lies there is named by backbone, weights, size and the version of torch, and by
    the digests of the images, so that an image added later is the only one embedded. Prints a line with the time left
    every few seconds. InputError for weights that do not fit and for features beyond float16.
    """
    classifier = frozen_backbone(backbone, weights, image_size, NAMED)
    folder = cache / _key(classifier)
    digest_N = manifest.frame["digest"].to_numpy()
    known = _kept(folder)
    missing = np.flatnonzero([digest not in known for digest in digest_N])
    # Copies of one image are embedded once.
    missing = missing[np.unique(digest_N[missing], return_index=True)[1]]
    missing.sort()
    pace = Pace("embedded", len(digest_N), len(digest_N) - len(missing))
    for start in range(0, len(missing), PART_IMAGES):
        rows = missing[start : start + PART_IMAGES]
        parts = []
        for first in range(0, len(rows), BATCH):
            paths = [image_root / path for path in manifest.frame["path"].iloc[rows[first : first + BATCH]]]
            parts.append(features_of(classifier, load_images(paths, image_size)))
            pace.tell(len(digest_N) - len(missing) + start + first + len(paths))
        features_BD = np.concatenate(parts)
        if not np.isfinite(features_BD).all():
            raise InputError(
                "params.yaml, audit.weights", "give features beyond ±65504", "finite features", "check them"
            )
        _keep(folder, digest_N[rows], features_BD)
        known |= dict(zip(digest_N[rows], features_BD, strict=True))
    return np.stack([known[digest] for digest in digest_N])


def _key(classifier: Classifier) -> str:
    digest = hashlib.blake2b(json.dumps([asdict(classifier.spec), torch.__version__]).encode(), digest_size=8)
    for name, value in classifier.network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _keep(folder: Path, digests: np.ndarray, features_BD: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b("\n".join(digests).encode(), digest_size=8).hexdigest()
    with replaced(folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, digest=digests.astype(_DIGEST), features=features_BD)


def _kept(folder: Path) -> dict[str, np.ndarray]:
    """Features by the digest of their image; a damaged file counts as none."""
    known: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as held:
                digests, features_BD = held["digest"].astype(str), held["features"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            path.unlink()
            continue
        known |= dict(zip(digests.tolist(), features_BD, strict=True))
    return known
