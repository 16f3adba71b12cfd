"""`bmix embed`: prepared images as features by a frozen backbone, for the source `features`."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy

from bmix.data.augment import build_augment
from bmix.data.label_lists import label_matrix
from bmix.data.manifest import REVIEWED, TRUE, Manifest, holds_features, read_manifest
from bmix.models.frozen import features_of, frozen_backbone, load_images
from bmix.models.store import Classifier
from bmix.randomness import keys
from bmix.support.errors import InputError
from bmix.support.files import replaced
from bmix.support.pace import Pace

PART_ROWS = 32
"""Images of one part: what a killed run loses at most."""
OPTIONS = {"model.backbone": "--backbone", "model.weights": "--weights", "data.image_size": "--image-size"}


def embed_prepared(
    output: Path,
    views: int = 4,
    backbone: str = "efficientnet_lite0",
    weights: str = "imagenet",
    image_size: int = 224,
    augment: str = "randaugment-flip",
    seed: int = 0,
) -> None:
    """The images in data/prepared of the current folder as features in `output`; the other settings as of `embed`.

    Prints how the file is used. InputError for what is not there or does not fit.
    """
    from bmix.params import load_params
    from bmix.pipeline.checks import check_output, output_around

    params = load_params()
    check_output(output)
    torch.set_num_threads(params.training.threads)
    manifest = read_manifest(Path("data/prepared"))
    if holds_features(manifest):
        raise InputError("data/prepared", "holds features", "images", "set data.source to images, and run dvc repro")
    classifier = frozen_backbone(backbone, weights, image_size, OPTIONS)
    embed(manifest, params.image_root, classifier, output, views, seed, augment)
    # Any folder of inputs will do, so that of the params where this one holds outputs of the pipeline.
    root = "" if output_around(output.parent) else f" data.root={output.parent}"
    print(f"{output} written; use it by data.source=features data.path={output}{root} model.backbone=identity")


def embed(
    manifest: Manifest,
    image_root: Path,
    classifier: Classifier,
    output: Path,
    views: int = 4,
    seed: int = 0,
    augment: str = "randaugment-flip",
    batch: int = 32,
) -> None:
    """Write an .npz that the source `features` reads: X float16 (N, views + 1, D), Y int8, classes, ids, split.

    View 0 is of the image as it is; the others are of views drawn by `seed`, by each row for itself. The backbone is in
    evaluation mode; the size of the images is the classifier's. Prints a line with the time left every few seconds. A
    run that was killed goes on from parts in a hidden folder beside `output`, named by all that determines them.
    InputError: an output of another suffix, no image, features that float16 cannot hold.
    """
    if output.suffix != ".npz":
        raise InputError("--output", f"{output} is no .npz", "a file name that ends in .npz", "correct it")
    count = len(manifest.frame)
    if not count:
        raise InputError("data/prepared", "no image", "at least one", "run the stage prepare again")
    parts = output.with_name(f".{output.name}.{_key(manifest, classifier, views, seed, augment, batch)}.parts")
    starts = range(0, count, PART_ROWS)
    missing = [start for start in starts if not _part(parts, start).is_file()]
    done = count - sum(min(PART_ROWS, count - start) for start in missing)
    if done:
        print(f"goes on after {done} of {count} images", flush=True)
    make_views = build_augment(augment)
    paths = [image_root / path for path in manifest.frame["path"]]
    with Pace("embedded", count, done) as pace:
        for start in missing:
            rows = np.arange(start, min(start + PART_ROWS, count))
            images = load_images([paths[row] for row in rows], classifier.spec.image_size)
            shown = [images, *(make_views(images, keys(rows, seed, "embed", view)) for view in range(1, views + 1))]
            features_BVD = np.stack([features_of(classifier, one, batch) for one in shown], axis=1)
            _refuse_overflow(features_BVD, manifest.frame["id"].iloc[start])
            with replaced(_part(parts, start)) as temporary, temporary.open("wb") as file:
                np.save(file, features_BVD)
            done += len(rows)
            pace.tell(done)
    _write(output, manifest, [_part(parts, start) for start in starts])
    shutil.rmtree(parts, ignore_errors=True)


def _key(manifest: Manifest, classifier: Classifier, views: int, seed: int, augment: str, batch: int) -> str:
    """A digest of all that the features follow from: images, network, settings, and the version of torch."""
    settings = [asdict(classifier.spec), views, seed, augment, batch, PART_ROWS, torch.__version__]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=8)
    digest.update(json.dumps(manifest.frame[["id", "path", "digest"]].to_numpy().tolist()).encode())
    for name, value in classifier.network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _part(folder: Path, start: int) -> Path:
    return folder / f"{start:09d}.npy"


def _refuse_overflow(features_BVD: np.ndarray, first: str) -> None:
    if not np.isfinite(features_BVD).all():
        raise InputError(
            f'the features of "{first}" and the images after it',
            "a number that is not finite in float16",
            "features within ±65504",
            "check the weights, or use another backbone",
        )


def _write(output: Path, manifest: Manifest, parts: Sequence[Path]) -> None:
    frame = manifest.frame
    labels_NK = label_matrix(frame["labels"], manifest.classes).astype(np.int8)
    labels_NK[label_matrix(frame["ignore"], manifest.classes).astype(bool)] = -1
    arrays = {
        "Y": labels_NK,
        "classes": np.array(manifest.classes),
        "ids": np.array(frame["id"].tolist()),
        "split": np.array(frame["split"].tolist()),
    }
    if REVIEWED in frame:
        arrays[REVIEWED] = label_matrix(frame[REVIEWED], manifest.classes).astype(np.int8)
    if TRUE in frame:
        arrays[TRUE] = label_matrix(frame[TRUE], manifest.classes).astype(np.int8)
    with replaced(output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # A part at a time: all of them may be more than the memory holds.
        with archive.open("X.npy", "w", force_zip64=True) as file:
            shape = (len(frame), *np.load(parts[0], mmap_mode="r").shape[1:])
            npy.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
            for part in parts:
                file.write(np.load(part).tobytes())
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                npy.write_array(file, values, allow_pickle=False)
