"""A tiny project whose data grows from night to night: features, which train in seconds and which the audit judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from bmix.audit.files import write_audit
from bmix.data.groups import group_cuts
from bmix.data.manifest import read_manifest, write_manifest
from bmix.evaluation.metrics import average_precision, mean_average_precision
from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier
from bmix.pipeline.projects import Project
from bmix.pipeline.repro import reproduce
from bmix.retraining.findings import Finding
from bmix.retraining.night import Tools
from bmix.sources.examine import examine
from bmix.support.files import write_json
from tests.helpers.features import arrays, write_npz
from tests.helpers.projects import make_project
from tests.helpers.tiny import REPOSITORY, write_params

SET = Path("data/mine/set.npz")
EDITS = (
    "data.source=features",
    f"data.path={SET}",
    f"data.root={SET.parent}",
    "noise.kind=none",
    "model.backbone=identity",
    "training.epochs=4",
    "training.warmup_epochs=2",
    "training.batch_size=16",
    "training.threads=1",
    "evaluate.many=150",
    "evaluate.medium=80",
)
ALL = 600
"""Rows that there are in all; a night has the first so many of them."""


def make_growing_project(folder: Path, rows: int = 300, *edits: str) -> Path:
    """A project in `folder` on the first `rows` rows."""
    make_project(folder)
    write_params(folder, *EDITS, *edits)
    write_rows(folder, rows)
    return folder


def write_rows(folder: Path, rows: int, shuffled: range | None = None) -> None:
    """The first `rows` rows as the project's data, the labels of the rows in `shuffled` dealt out among them."""
    content = {
        name: value if name == "classes" else value[:rows] for name, value in arrays(rows=ALL, spread=1.5).items()
    }
    if shuffled is not None:
        dealt = np.random.default_rng(0).permutation(list(shuffled))
        content["Y"] = content["Y"].copy()
        content["Y"][list(shuffled)] = content["Y"][dealt]
    write_npz(folder / SET, content)


def plain_tools(lines: list[str]) -> Tools:
    """A night's tools without Prefect; what is told goes into `lines`, with the stages and gates that were met."""

    def stage(name: str, project: Project) -> None:
        lines.append(f"{name} {reproduce(project.folder, name, lambda line: None, project.environment)[name]}")

    def gate(name: str, judge: object) -> list[Finding]:
        lines.append(name)
        return judge()  # type: ignore[operator]

    return Tools(stage, gate, lines.append)


class StagesByHand:
    """What the stages write of which nights read something, in milliseconds and without DVC.

    The model is the line of least squares through the training rows: bad labels give a bad one. `met`: the stages and
    gates in the order in which they were met.
    """

    def __init__(self) -> None:
        self.met: list[str] = []
        self.told: list[str] = []
        self.before: dict[str, Any] = {}

    @property
    def tools(self) -> Tools:
        """For `run_night`; what stands in `before` under the name of a stage is called before it."""
        return Tools(self._stage, self._gate, self.told.append)

    def _stage(self, name: str, project: Project) -> None:
        self.met.append(name)
        if name in self.before:
            self.before[name]()
        own = {"prepare": self._prepare, "audit": self._audit, "train": self._train, "evaluate": self._evaluate}
        if name in own:
            own[name](project)

    def _gate(self, name: str, judge: Any) -> list[Finding]:
        self.met.append(name)
        return list(judge())

    def _prepare(self, project: Project) -> None:
        folder = project.folder / "data" / "prepared"
        manifest, _ = examine(project.params.data, folder / "images")
        write_manifest(manifest, folder)
        write_json(folder / "facts.json", {"notes": manifest.notes})

    def _audit(self, project: Project) -> None:
        write_audit(
            project.folder / "data" / "audit", "off", read_manifest(project.folder / "data/prepared").classes, {}
        )

    def _train(self, project: Project) -> None:
        manifest = read_manifest(project.folder / "data/prepared")
        features_ND = self._features(project)
        rows_N = (manifest.frame["split"] == "train").to_numpy()
        inputs_ND = np.column_stack([features_ND[rows_N], np.ones(rows_N.sum())])
        solved_DK = np.linalg.lstsq(inputs_ND, 4.0 * manifest.labels("train") - 2.0, rcond=None)[0]
        count = features_ND.shape[1]
        network = build_classifier("identity", "linear", len(manifest.classes), "none", 0, count)
        state = network.state_dict()
        state["standardise.mean"], state["standardise.deviation"] = torch.zeros(count), torch.ones(count)
        state["head.linear.weight"] = torch.tensor(solved_DK[:-1].T, dtype=torch.float32)
        state["head.linear.bias"] = torch.tensor(solved_DK[-1], dtype=torch.float32)
        network.load_state_dict(state)
        spec = ClassifierSpec.of("identity", "linear", 16, manifest.classes, features=count)
        save_classifier(Classifier(network, spec), project.folder / "models/final")
        (project.folder / "dvc.lock").write_text("stages: {}\n")

    def _evaluate(self, project: Project) -> None:
        from bmix.models.store import load_classifier

        manifest = read_manifest(project.folder / "data/prepared")
        rows_N = (manifest.frame["split"] == "test").to_numpy()
        scores_NK = load_classifier(project.folder / "models/final").predict(
            torch.from_numpy(self._features(project)[rows_N])
        )
        positives_K = manifest.labels("train").sum(axis=0, dtype=int)
        cuts = group_cuts(positives_K, project.params.evaluate.many, project.params.evaluate.medium)
        ap_K = average_precision(scores_NK.numpy(), manifest.labels("test"))
        means = mean_average_precision(ap_K, positives_K, cuts)
        write_json(project.folder / "metrics.json", {"mAP": means, "detection": None, "repair": None})

    def _features(self, project: Project) -> np.ndarray:
        return np.load(project.folder / "data/prepared/images/features.npy")[:, 0]


def make_bare_project(folder: Path, rows: int = 300, *edits: str) -> Path:
    """The part of a project that nights read where `StagesByHand` do the work."""
    write_params(folder, *EDITS, *edits)
    (folder / "data/noise").mkdir(parents=True)
    (folder / "data/noise/confusions.csv").write_bytes((REPOSITORY / "data/noise/confusions.csv").read_bytes())
    write_rows(folder, rows)
    return folder


def copy_without_dvc(_original: Path, folder: Path, content: dict[str, Any]) -> None:
    """In the place of `refresh_copy`, which asks DVC for its cache: the params alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
