"""What the gates of one night read, and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmix.audit.files import ESTIMATE_FILE, QUALITY_FILE
from bmix.data.manifest import Manifest, read_manifest
from bmix.models.calibration import weights_digest
from bmix.models.registry import WEIGHTS
from bmix.params import parse_params, read_yaml
from bmix.pipeline.projects import Project
from bmix.randomness import numpy_generator
from bmix.retraining.bootstrap import Difference
from bmix.retraining.data_gate import NONE, judge_data, judge_drift, judge_noise
from bmix.retraining.drift import FEWEST as FEWEST_NEW
from bmix.retraining.drift import FILE as FEATURES
from bmix.retraining.drift import Features, audit_features, drawn_rows, keep_sample, two_sample_test
from bmix.retraining.facts import DataFacts, NoiseOfNew, data_changes, data_facts, noise_of_new, wrong_share
from bmix.retraining.findings import Finding
from bmix.retraining.model_gate import judge_model
from bmix.retraining.versions import Version, best_before
from bmix.retraining.way_back import run_with_data
from bmix.support.errors import InputError
from bmix.support.files import read_json

if TYPE_CHECKING:
    from bmix.models.store import Classifier
    from bmix.retraining.measure import TestData


class Judges:
    """The gates of a candidate: `read_data`, `data`, then `read_noise`, `noise`, then `model`.

    project: the candidate's copy. champion: the version that is served; None on the first night.
    """

    def __init__(self, project: Project, champion: Version | None) -> None:
        self._project, self._champion = project, champion
        self._limits = project.params.retrain
        self._before = DataFacts(**champion.note["facts"]) if champion else None
        self._of_new: NoiseOfNew | None = None
        self.comparisons: dict[str, Mapping[str, Difference]] = {}

    def read_data(self) -> DataFacts:
        """The facts of the data that the stage prepare has written."""
        prepared = self._project.folder / "data" / "prepared"
        self._manifest = read_manifest(prepared)
        before = read_manifest(self._champion.data).frame if self._champion else None
        self._changes = None if before is None else data_changes(before, self._manifest.frame)
        self.facts = data_facts(self._manifest, read_json(prepared / "facts.json")["notes"])
        return self.facts

    def data(self) -> list[Finding]:
        """What the facts before any audit say."""
        return judge_data(self._before, self.facts, self._changes, self._limits)

    def read_noise(self) -> None:
        """Take in what the stage audit has estimated, if it judged anything."""
        audit = self._project.folder / "data" / "audit"
        self.facts = replace(self.facts, wrong=wrong_share(read_json(audit / ESTIMATE_FILE)))
        if self.facts.wrong is not None and self._changes is not None:
            import pandas as pd

            columns = ["id", "split", "given", "p_present"]
            quality = pd.read_parquet(audit / QUALITY_FILE, columns=columns)
            self._of_new = noise_of_new(quality, self._changes.suspects)

    def noise(self) -> list[Finding]:
        """What the estimates of wrong labels say, and the features that they were made by."""
        drift = [] if self._champion is None or not self._limits.drift else [self._judge_drift(self._champion)]
        return [*judge_noise(self._before, self.facts, self._of_new, self._limits), *drift]

    def keep_features(self, folder: Path) -> None:
        """Keep a sample of the features that later nights compare theirs with, if there are any."""
        if self._limits.drift:
            keep_sample(self._project, self._manifest, folder)

    def _judge_drift(self, champion: Version) -> Finding:
        added = self._changes.added if self._changes else frozenset()
        before = Features.read(champion.data / FEATURES)
        seed, new_N = self._project.params.audit.seed, self._manifest.frame["id"].isin(added).to_numpy(bool)
        rows_N = drawn_rows(np.flatnonzero(new_N), seed, "new")
        if len(rows_N) < FEWEST_NEW:
            return judge_drift(f"fewer than {FEWEST_NEW} images are new", 0, 0, self._limits)
        now = audit_features(self._project.folder, self._project.params, self._manifest, rows_N)
        if isinstance(now, str):
            return judge_drift(now, 0, 0, self._limits)
        if before is None or before.origin != now.origin:
            kept = "keeps none" if before is None else f"keeps those of {before.origin}"
            return judge_drift(f"{champion.name} {kept}, today's are of {now.origin}", 0, 0, self._limits)
        found = two_sample_test(before.values_ND, now.values_ND, numpy_generator(seed, "drift", "permutations"))
        return judge_drift(found, len(before.values_ND), len(rows_N), self._limits)

    def is_champion(self) -> bool:
        """Whether the candidate's weights are those of the champion."""
        own = weights_digest(self._model / WEIGHTS)
        return self._champion is not None and own == self._champion.note["weights"]

    def model(self) -> list[Finding]:
        """The comparison of candidate and champion on today's test split and on the champion's own."""
        if self._champion is None:
            return []
        # torch comes with it, which takes seconds.
        from bmix.retraining.measure import OWN, TODAY, TestData, compare_on, load_both

        params, notes = self._project.params, list[Finding]()
        today = TestData(self._manifest, self._project.folder / params.image_root)
        before = read_manifest(self._champion.data)
        try:
            models = load_both(self._champion.folder, self._model, params.training.threads)
            self.comparisons[TODAY] = compare_on(today, before, models, params.evaluate, params.training.seed, TODAY)
        except InputError as error:
            return [_not_compared(TODAY, error, passes=False)]
        try:
            own = _own_data(self._champion, before)
            self.comparisons[OWN] = compare_on(own, self._manifest, models, params.evaluate, params.training.seed, OWN)
        except InputError as error:
            notes = [_not_compared(OWN, error, passes=True)]
        best = best_before(self._champion, self._limits.memory)
        against_best = self._compare_with(best, today, models[1]) if best else []
        return [*judge_model(self.comparisons, self._limits), *against_best, *notes]

    def _compare_with(self, best: Version, today: TestData, candidate: Classifier) -> list[Finding]:
        """The candidate against the best of the versions before the champion: small losses must not add up."""
        from bmix.models.store import load_classifier
        from bmix.retraining.measure import TODAY, compare_on

        params, name = self._project.params, f"{TODAY}, {best.name}"
        try:
            models = load_classifier(best.folder).to(candidate.device), candidate
            compared = compare_on(today, read_manifest(best.data), models, params.evaluate, params.training.seed, name)
        except InputError as error:
            return [_not_compared(name, error, passes=True)]
        return judge_model({name: compared}, self._limits)

    def measures(self) -> dict[str, float | None]:
        """The mAP of candidate and champion on today's test split, of all and of few-shot classes, in [0, 1]."""
        own: dict[str, Any] = read_json(self._project.folder / "metrics.json")["mAP"]
        today = next(iter(self.comparisons.values()), {})
        measures: dict[str, float | None] = {}
        for group, name in (("all", "map"), ("few", "few")):
            compared = today.get(group)
            measures[f"candidate_{name}"] = compared.candidate if compared else own[group]
            measures[f"champion_{name}"] = compared.champion if compared else None
        return measures

    def told(self) -> str:
        """What speaks for the candidate, in a line."""
        if self._champion is None:
            return "the first model"
        return "; ".join(
            f"mAP {100 * one.candidate:.1f}, {self._champion.name} {100 * one.champion:.1f} on {split}"
            for split, comparison in self.comparisons.items()
            if (one := comparison.get("all"))
        )

    @property
    def _model(self) -> Path:
        return self._project.folder / "models" / "final"


def _own_data(champion: Version, manifest: Manifest) -> Any:
    from bmix.retraining.measure import TestData

    params = parse_params(read_yaml(champion.folder / "params.yaml"))
    root = params.image_root
    made = root.parts[:2] == ("data", "prepared")
    return TestData(manifest, run_with_data(champion) / root if made else root)


def _not_compared(split: str, error: InputError, passes: bool) -> Finding:
    found = " ".join(f"{error.where}: {error.found}".split())
    return Finding(f"mAP, {split}", NONE, f"cannot be compared: {found}", NONE, passes)
