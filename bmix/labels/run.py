"""A run as the commands about labels read it: its params, its manifest, its given, true and reviewed labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bmix.data.manifest import Manifest, holds_features, read_manifest
from bmix.data.noisy import read_labels
from bmix.params import Params, load_params
from bmix.support.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

RUNS = Path(".bmix/runs")


@dataclass(frozen=True)
class LabelledRun:
    """A run whose stages prepare and noise are done. folder: holds params.yaml and the outputs.

    train_given_NK, train_true_NK: uint8 of 0/1, ignored cells 0; the truth is None where nobody knows it.
    """

    folder: Path
    params: Params
    manifest: Manifest
    train_given_NK: np.ndarray
    train_true_NK: np.ndarray | None

    @classmethod
    def open(cls, folder: Path = Path()) -> LabelledRun:
        """Read a run; InputError if it was never made, and for what is missing or damaged."""
        params = load_params(folder / "params.yaml")
        prepared = folder / "data/prepared/manifest.parquet"
        if not prepared.is_file():
            raise InputError(
                str(prepared),
                "no such file: there is no run here yet",
                "a run whose data are prepared",
                "run the pipeline first: bmix repro; or name a run that bmix runs lists: --run NAME",
            )
        manifest = read_manifest(folder / "data/prepared")
        _, given_NK, true_NK = read_labels(folder / "data/noisy", manifest)
        return cls(folder, params, manifest, given_NK, true_NK)

    @property
    def classes(self) -> list[str]:
        """The class names in column order."""
        return self.manifest.classes

    @property
    def image_root(self) -> Path | None:
        """The folder that the manifest's paths start from; None where rows are features."""
        return None if holds_features(self.manifest) else self.folder / self.params.image_root

    @property
    def source_path(self) -> Path:
        """The file or folder that the labels were read from."""
        return self.folder / self.params.data.path

    def splits(self) -> list[str]:
        """The splits that hold labels."""
        return [split for split in self.manifest.splits() if split != "unlabelled"]

    def given(self, split: str) -> np.ndarray:
        """The given labels of one split, int8 (N, K) of 1, 0, and -1 for ignored; noise included.

        InputError for a split that holds no labels.
        """
        if split not in self.splits():
            raise InputError("--split", split, f"one of {', '.join(self.splits())}", "name one of them")
        labels_NK = self.train_given_NK if split == "train" else self.manifest.labels(split)
        return np.where(self.manifest.ignored(split), np.int8(-1), labels_NK.astype(np.int8))

    def true(self, split: str) -> np.ndarray | None:
        """What is known to be true of one split, uint8 (N, K); None if nothing is."""
        return self.train_true_NK if split == "train" else self.manifest.true_labels(split)

    def rows(self, split: str) -> pd.DataFrame:
        """The manifest's rows of one split, by id."""
        return self.manifest.rows(split).set_index("id", drop=False)


def find_run(name: str) -> Path:
    """The folder of a run: this one for "", else one that `bmix runs` lists, or any that holds params.yaml.

    InputError if there is none of that name.
    """
    for folder in (RUNS / name, Path(name)):
        if (folder / "params.yaml").is_file():
            return folder
    known = sorted(path.name for path in RUNS.glob("*/") if (path / "params.yaml").is_file())
    remedy = f"see bmix runs.{nearest(name, known)}"
    raise InputError("--run", f'no run "{name}"', "the name or the folder of a run", remedy)
