"""What is known of a night's data, as far as it is held against the data that was accepted last."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bmix.data.label_lists import label_counts
from bmix.data.manifest import Manifest

_SKIPPED = re.compile(r"(?P<count>\d+) of (?P<total>\d+) images left out")


@dataclass(frozen=True)
class DataFacts:
    """The facts of one night's data, ready for JSON.

    images: per split. positives: training images that show a class. unreadable: share of the images that were left out
    as unusable. duplicates: share of the images that are copies of others, byte for byte. membership, labels: digests
    of the images and of the labels of all splits. wrong: share of the given training positives that the audit estimates
    to be wrong; None where nothing was audited.
    """

    images: dict[str, int]
    positives: dict[str, int]
    unreadable: float
    duplicates: float
    membership: str
    labels: str
    wrong: float | None = None

    @property
    def rates(self) -> dict[str, float]:
        """The share of the training images that show a class."""
        return {name: count / max(self.images["train"], 1) for name, count in self.positives.items()}

    def plain(self) -> dict[str, Any]:
        """The facts for JSON, which `DataFacts(**plain)` takes."""
        return asdict(self)


def data_facts(manifest: Manifest, notes: Mapping[str, str], estimate: Mapping[str, Any] | None = None) -> DataFacts:
    """The facts of a prepared data set.

    notes: those of facts.json, which count the images that were left out. estimate: noise_estimate.json, where the
    stage audit has run.
    """
    frame = manifest.frame
    counts_K = label_counts(manifest.rows("train")["labels"], manifest.classes)
    known = frame["digest"][frame["digest"] != ""]
    return DataFacts(
        images={split: len(manifest.rows(split)) for split in manifest.splits()},
        positives=dict(zip(manifest.classes, counts_K.tolist(), strict=True)),
        unreadable=_unreadable(notes),
        duplicates=float(known.duplicated().mean()) if len(known) else 0.0,
        membership=_digest(frame["id"] + "\0" + frame["digest"] + "\0" + frame["split"]),
        labels=_digest(frame["id"] + "\0" + _told(frame["labels"]) + "\0" + _told(frame["ignore"])),
        wrong=wrong_share(estimate),
    )


@dataclass(frozen=True)
class DataChanges:
    """What became of the images of the accepted data.

    added: ids of the images that are new. gone, kept: numbers of images. relabelled: share of the images that stayed
    whose labels differ. suspects: ids of the training images that are new or have other labels.
    """

    added: frozenset[str]
    gone: int
    kept: int
    relabelled: float
    suspects: frozenset[str]


def data_changes(before: pd.DataFrame, now: pd.DataFrame) -> DataChanges:
    """The changes from one manifest's rows to another's; an image whose bytes changed is gone, and another is new."""
    columns = ["id", "digest"]
    first = before[columns].assign(before=_told(before["labels"]))
    second = now[[*columns, "split"]].assign(now=_told(now["labels"]))
    both = first.merge(second, on=columns, how="outer", indicator=True)
    kept = both[both["_merge"] == "both"]
    other = kept["before"] != kept["now"]
    new = both[both["_merge"] == "right_only"]
    touched = pd.concat([new, kept[other]])
    return DataChanges(
        added=frozenset(new["id"]),
        gone=int((both["_merge"] == "left_only").sum()),
        kept=len(kept),
        relabelled=float(other.mean()) if len(kept) else 0.0,
        suspects=frozenset(touched.loc[touched["split"] == "train", "id"]),
    )


@dataclass(frozen=True)
class NoiseOfNew:
    """What the audit expects of given training positives: the share that is wrong of those of images that are new or
    have other labels, and of the rest; their difference over its standard error.
    """  # fmt: skip

    new: float
    kept: float
    count: int
    deviations: float


def noise_of_new(quality: pd.DataFrame, suspects: frozenset[str]) -> NoiseOfNew | None:
    """How much wronger the labels of new images are estimated to be; None where one of the two kinds has none judged.

    quality: label_quality.parquet with its columns `id`, `split`, `given` and `p_present`.
    """
    given = quality[(quality["split"] == "train") & (quality["given"] == 1) & quality["p_present"].notna()]
    wrong_N = 1 - given["p_present"].to_numpy(np.float64)
    new_N = given["id"].isin(suspects).to_numpy(bool)
    counts = int(new_N.sum()), int((~new_N).sum())
    if min(counts) < 2:
        return None
    new, kept = wrong_N[new_N], wrong_N[~new_N]
    error = np.sqrt(new.var(ddof=1) / len(new) + kept.var(ddof=1) / len(kept))
    difference = float(new.mean() - kept.mean())
    deviations = difference / float(error) if error > 0 else float(np.sign(difference)) * np.inf
    return NoiseOfNew(float(new.mean()), float(kept.mean()), counts[0], float(deviations))


def _unreadable(notes: Mapping[str, str]) -> float:
    found = _SKIPPED.match(notes.get("unreadable", ""))
    return int(found["count"]) / int(found["total"]) if found else 0.0


def wrong_share(estimate: Mapping[str, Any] | None) -> float | None:
    """The share of the given training positives that noise_estimate.json holds for wrong; None if none was judged."""
    train = (estimate or {}).get("splits", {}).get("train")
    return float(train["wrong_share"]) if train and train["judged_classes"] else None


def _told(lists: pd.Series) -> pd.Series:
    """Each list of names as one text, whatever their order."""
    return lists.map(lambda names: "\x1f".join(sorted(names))).astype(object)


def _digest(texts: pd.Series) -> str:
    """16 hex digits of texts, whatever their order."""
    return hashlib.blake2b("\n".join(sorted(texts)).encode(), digest_size=8).hexdigest()
