"""The data gate: a night's data against the data that was accepted last."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bmix.params import RetrainParams
from bmix.retraining.drift import Drift
from bmix.retraining.facts import DataChanges, DataFacts, NoiseOfNew
from bmix.retraining.findings import Finding, in_percent
from bmix.support.errors import listed, quoted

SURE = 3.0
"""Standard errors beyond which a difference of two shares is no chance: small classes swing by themselves."""
FEWEST = 20
"""Given positives of new images below which nothing is said of their noise."""
NONE = "–"
DRIFT = "new images, by their features"


def judge_data(
    before: DataFacts | None, now: DataFacts, changes: DataChanges | None, limits: RetrainParams
) -> list[Finding]:
    """What the facts before any audit say. before, changes: None on the first night, which has nothing to compare."""
    findings = [
        _at_most("unusable images", before.unreadable if before else None, now.unreadable, limits.unreadable),
        _at_most("copies of other images", before.duplicates if before else None, now.duplicates, limits.duplicates),
    ]
    if before is None or changes is None:
        return findings
    accepted = changes.kept + changes.gone
    return [
        *findings,
        _vanished(before, now, limits.vanished),
        _rates(before, now, limits.rate_jump),
        Finding(
            "images that are gone",
            f"{accepted:,} images",
            f"{changes.gone:,} ({in_percent(changes.gone / max(accepted, 1))})",
            in_percent(limits.shrink),
            changes.gone <= limits.shrink * accepted,
        ),
        Finding(
            "images with other labels",
            f"{changes.kept:,} images",
            in_percent(changes.relabelled),
            in_percent(limits.relabelled),
            changes.relabelled <= limits.relabelled,
        ),
    ]


def judge_noise(
    before: DataFacts | None, now: DataFacts, of_new: NoiseOfNew | None, limits: RetrainParams
) -> list[Finding]:
    """What the audit's estimate of wrong labels says; nothing where nothing was audited.

    of_new: the labels of new images against those of the others, which tells of a bad batch however small it is.
    """
    findings = []
    limit = f"{in_percent(limits.noise_rise, signed=True)}"
    if before is not None and before.wrong is not None and now.wrong is not None:
        passes = now.wrong - before.wrong <= limits.noise_rise
        findings.append(
            Finding("wrong labels, estimated", in_percent(before.wrong), in_percent(now.wrong), limit, passes)
        )
    if before is not None and of_new is not None and of_new.count >= FEWEST:
        passes = of_new.new - of_new.kept <= limits.noise_rise or of_new.deviations <= SURE
        findings.append(
            Finding(
                "wrong labels of new images, estimated",
                in_percent(of_new.kept),
                in_percent(of_new.new),
                limit,
                passes,
            )
        )
    return findings


def judge_drift(drift: Drift | str, accepted: int, new: int, limits: RetrainParams) -> Finding:
    """What the features of new images say; `drift`: in words why they were not compared.

    accepted, new: how many images stand for the accepted data and for the new images.
    """
    if isinstance(drift, str):
        return Finding(DRIFT, NONE, f"not compared: {drift}", NONE, True)
    differs = drift.p <= limits.drift
    return Finding(
        DRIFT,
        f"{accepted:,} accepted",
        f"{new:,} new, distance {drift.distance:.3f}, p {drift.p:.3f}",
        f"p {limits.drift:g}",
        not (differs and limits.gate_drift),
        differs,
    )


def _at_most(what: str, before: float | None, now: float, limit: float) -> Finding:
    return Finding(
        what, NONE if before is None else in_percent(before), in_percent(now), in_percent(limit), now <= limit
    )


def _vanished(before: DataFacts, now: DataFacts, limit: int) -> Finding:
    gone = [name for name, count in before.positives.items() if count and not now.positives.get(name)]
    added = [name for name, count in now.positives.items() if count and not before.positives.get(name)]
    told = f"{quoted(gone)} gone" if gone else f"{len(now.positives)} classes"
    told += f", {quoted(added)} new" if added else ""
    return Finding("classes", f"{len(before.positives)} classes", told, f"{limit} gone", len(gone) <= limit)


def _rates(before: DataFacts, now: DataFacts, factor: float) -> Finding:
    """The class whose share of the training images jumped most among those that no chance explains."""
    jumps = [
        (_factor(rate, now.rates[name]), name)
        for name, rate in before.rates.items()
        if rate and now.rates.get(name) and _is_no_chance(before, now, name)
    ]
    beyond = sorted((one for one in jumps if one[0] > factor), reverse=True)
    shown: Sequence[tuple[float, str]] = beyond or sorted(jumps, reverse=True)[:1]
    names = [name for _, name in shown]
    return Finding(
        "share of images with a class",
        listed((f"{name} {in_percent(before.rates[name])}" for name in names), 3) or NONE,
        listed((f"{name} {in_percent(now.rates[name])}" for name in names), 3) or "as before",
        f"× or ÷ {factor:g}",
        not beyond,
    )


def _factor(before: float, now: float) -> float:
    return max(now / before, before / now)


def _is_no_chance(before: DataFacts, now: DataFacts, name: str) -> bool:
    counts = before.positives[name], now.positives[name]
    images = before.images["train"], now.images["train"]
    pooled = sum(counts) / sum(images)
    error = math.sqrt(pooled * (1 - pooled) * (1 / images[0] + 1 / images[1]))
    return error > 0 and abs(counts[0] / images[0] - counts[1] / images[1]) > SURE * error
