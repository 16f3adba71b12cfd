"""Stage audit: every given label judged by models that never saw it, in `data/audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.audit.choice import judged_by
from bmix.audit.files import AuditedSplit, write_audit
from bmix.data.manifest import Manifest, holds_features, read_manifest
from bmix.data.noisy import read_labels
from bmix.params import Params, load_params
from bmix.support import console
from bmix.support.files import replaced_folder
from bmix.workspace.project import project_root
from bmix.workspace.timings import stage_timing

if TYPE_CHECKING:
    from bmix.audit.labels import LabelAudit
    from bmix.audit.rehearsal import Rehearsal
    from bmix.audit.splits import Scores

PREPARED, NOISY, AUDIT = Path("data/prepared"), Path("data/noisy"), Path("data/audit")


def main() -> None:
    """Write label_quality.parquet, noise_estimate.json and p_present.npy; empty ones if there is nothing to judge with.

    Training images are judged by their given labels, noise included; other splits by the source's.
    """
    with stage_timing("audit"), replaced_folder(AUDIT) as folder:
        params, manifest = load_params(), read_manifest(PREPARED)
        features = judged_by(params, holds_features(manifest))
        splits, rehearsal = ({}, None) if features == "off" else audited(params, manifest, features)
        write_audit(folder, features, list(manifest.classes), splits, rehearsal)
        print(told(features, splits, rehearsal), flush=True)


def audited(params: Params, manifest: Manifest, features: str) -> tuple[dict[str, AuditedSplit], Rehearsal | None]:
    """What the audit says of every split but unlabelled, measured where the truth is known; whether doubts pay."""
    # Where nothing is audited, nothing of this is imported.
    from bmix.audit.labels import trusting
    from bmix.audit.splits import audit_splits

    _, train_NK, true_NK = read_labels(NOISY, manifest)
    names = [split for split in manifest.splits() if split not in ("train", "unlabelled")]
    given, truth = {"train": train_NK.astype(np.int8)}, {"train": true_NK}
    for split in names:
        given[split] = manifest.labels(split).astype(np.int8)
        truth[split] = manifest.true_labels(split)
    for split, labels_NK in given.items():
        labels_NK[manifest.ignored(split)] = -1
    scores = _scores(params, manifest, features, given)
    audits = audit_splits(scores, given, list(manifest.classes))
    for split, audit in audits.items():
        audits[split] = trusting(audit, given[split], manifest.reviewed_if_any(split))
    return {
        split: AuditedSplit(manifest.ids(split), given[split], audit, _measured(audit, given[split], truth[split]))
        for split, audit in audits.items()
    }, scores.rehearsal


def told(features: str, splits: dict[str, AuditedSplit], rehearsal: Rehearsal | None) -> str:
    """What was found, for people."""
    if not splits:
        return "labels are not audited: neither features nor weights to judge with (audit.features, docs/audit.md)"
    table = splits["train"].audit.classes
    wrong = (table["wrong_share"] * table["positives"]).sum()
    missing = (table["missing_share"] * table["negatives"]).sum()
    judged = int(table["judged"].sum())
    unjudged = "" if judged == len(table) else f"; {len(table) - judged} classes cannot be judged by these features"
    return (
        f"labels audited by {features}: about {wrong:,.0f} of {table['positives'].sum():,} given positives wrong, "
        f"{missing:,.0f} labels missing{unjudged}{_told_rehearsal(rehearsal)}"
    )


def _told_rehearsal(rehearsal: Rehearsal | None) -> str:
    if rehearsal is None:
        return ""
    gain = f"{100 * rehearsal.gain:+.2f} ± {100 * rehearsal.error:.2f} mAP of held-out given labels"
    if not rehearsal.pays:
        return f"\ndoubting them does not pay: {gain}; the recipe audited takes every label as given"
    found = "pays" if rehearsal.gain > rehearsal.error else "may pay or not"
    return f"\ndoubting them {found}: {gain}; the recipe audited does"


def _scores(params: Params, manifest: Manifest, features: str, given: dict[str, np.ndarray]) -> Scores:
    from bmix.audit.splits import frozen_scores, halves_scores

    folds, seed = params.audit.folds, params.audit.seed
    split_N = manifest.frame["split"].to_numpy()
    if features == "network":
        from bmix.audit.networks import halves, learnt_features

        half_N = halves(manifest, given["train"], seed)
        labels_NK = (given["train"] == 1).astype(np.uint8)
        first, second = (learnt_features(params, manifest, labels_NK, half_N, own) for own in (0, 1))
        return halves_scores((first, second), half_N, given, folds, seed)
    if features == "source":
        from bmix.data.stores import all_features

        values = all_features(params.image_root, len(manifest.frame))[:, 0]
    else:
        from bmix.audit.frozen import frozen_features

        audit, cache = params.audit, project_root() / ".bmix" / "embeddings"
        values = frozen_features(manifest, params.image_root, audit.backbone, audit.weights, audit.image_size, cache)
    return frozen_scores(lambda split: values[split_N == split], given, folds, seed)


def _measured(audit: LabelAudit, given_NK: np.ndarray, true_NK: np.ndarray | None) -> dict[str, Any] | None:
    from bmix.audit.measure import measured

    return None if true_NK is None else measured(audit.p_present, audit.quality, given_NK, true_NK)


if __name__ == "__main__":
    console.run(main, "stages.audit", __doc__)
