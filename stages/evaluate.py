"""Stage evaluate: how good the model and its verdicts are, and what its probabilities are worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bmix.data.groups import group_cuts
from bmix.data.manifest import Manifest, holds_features, read_manifest
from bmix.data.noisy import read_labels
from bmix.data.pretrained import read_pretrained
from bmix.data.pseudo import read_note
from bmix.data.quality import LabelQuality, read_quality
from bmix.evaluation.calibration import FittedCalibration, content, fit_calibration
from bmix.evaluation.cautions import cautions
from bmix.evaluation.doubted import Doubts, doubts_of_audit, doubts_of_verdicts
from bmix.evaluation.inputs import SplitPrediction, measured_splits, predict_splits, read_run
from bmix.evaluation.looking import worth_of_audit
from bmix.evaluation.origin import read_origin
from bmix.evaluation.prototypes import prototypes_of
from bmix.evaluation.results import Evaluation, evaluate, metrics_of, summary
from bmix.evaluation.verdicts import place_verdicts
from bmix.figures.card import render_card
from bmix.figures.opening import opening
from bmix.figures.plots import write_plots
from bmix.figures.report import render_report
from bmix.models.calibration import CALIBRATION, weights_digest
from bmix.models.device import available_device
from bmix.models.store import WEIGHTS, Classifier, load_classifier
from bmix.params import Params, load_params
from bmix.support import console
from bmix.support.files import replaced, replaced_folder, write_json, write_text
from bmix.workspace.timings import stage_timing

DATA, MODEL, PRETRAINED = Path("data"), Path("models/final"), Path("models/pretrained")
PREPARED, NOISY = DATA / "prepared", DATA / "noisy"
AUDIT, PSEUDO = DATA / "audit", DATA / "pseudo"
METRICS, PLOTS, REPORT = Path("metrics.json"), Path("plots"), Path("report.html")
HELD_OUT = "val"
"""The split that temperature and thresholds are fitted to."""


def main() -> None:
    """Measure the run in the current folder; either all outputs are written or none.

    Beside metrics.json, plots/ and report.html these are the calibration and the card in the model's folder.
    """
    with stage_timing("evaluate"):
        params = load_params()
        manifest = read_manifest(PREPARED)
        classifier = load_classifier(MODEL, calibrated=False).to(available_device())
        evaluation = replace(
            measure(params, manifest, classifier),
            pretrained=read_pretrained(PRETRAINED),
            pseudo=read_note(PSEUDO),
            prototypes=prototypes_of(classifier.network),
        )
        origin = read_origin(DATA, params.data.source, params.training.recipe)
        # The digits of the default run are drawn, not anyone's photographs.
        own = params.data.source not in ("digits", "features")
        untrained = own and params.model.weights == "none" and not torch.cuda.is_available()
        audited = audit_of(evaluation)
        recipe = params.training.recipe
        warnings = cautions(evaluation, params.training.batch_size, untrained, recipe, audited is not None)
        worth = None if audited is None else worth_of_audit(audited)
        with (
            replaced(METRICS) as metrics,
            replaced(REPORT) as report,
            replaced(MODEL / CALIBRATION) as calibration,
            replaced(MODEL / "README.md") as card,
            replaced_folder(PLOTS) as plots,
        ):
            write_json(metrics, metrics_of(evaluation))
            files = image_files(manifest)
            drawings = write_plots(evaluation, doubts(evaluation, audited), plots, params.image_root, files)
            ran = opening(evaluation, params.flat())
            write_text(report, render_report(evaluation, ran, drawings, warnings, worth, origin.review))
            write_json(
                calibration, content(evaluation.calibration, evaluation.classes, weights_digest(MODEL / WEIGHTS))
            )
            write_text(card, render_card(evaluation, classifier.spec, origin, warnings))
        print("\n".join([summary(evaluation), *(f"warning: {sentence}" for sentence in warnings)]))


def measure(params: Params, manifest: Manifest, classifier: Classifier) -> Evaluation:
    """How well the model of the run in the current folder does, and what it says of the labels."""
    torch.set_num_threads(params.training.threads)
    ids, given_NK, true_NK = read_labels(NOISY, manifest)
    record, verdicts = read_run(Path(), manifest.classes)
    measured = measured_splits(manifest, params.evaluate.split)
    held_out = [HELD_OUT] if HELD_OUT in manifest.splits() else []
    splits = list(dict.fromkeys([*measured, *held_out]))
    predictions = predict_splits(classifier, manifest, params.image_root, splits)
    positives_K = manifest.labels("train").sum(axis=0, dtype=int)
    evaluation = evaluate(
        {split: (predictions[split].confidence, predictions[split].labels) for split in measured},
        train_positives=positives_K,
        labels=place_verdicts(verdicts, ids, manifest.classes, given_NK, manifest.ignored_if_any("train")),
        true_NK=true_NK,
        record=record,
        thresholds=group_cuts(positives_K, params.evaluate.many, params.evaluate.medium),
        curve_points=params.evaluate.curve_points,
        single_label=params.single_label,
    )
    return replace(evaluation, calibration=calibrate(params, predictions, measured))


def calibrate(params: Params, predictions: dict[str, SplitPrediction], measured: list[str]) -> FittedCalibration | None:
    """Temperature and thresholds by the held-out split; None if no image is in it."""
    logits = {split: (predicted.logits, predicted.labels) for split, predicted in predictions.items()}
    if HELD_OUT not in logits:
        return None
    further = {split: logits[split] for split in measured}
    return fit_calibration(logits[HELD_OUT], further, params.evaluate.precision, HELD_OUT, params.single_label)


def audit_of(evaluation: Evaluation) -> LabelQuality | None:
    """What the audit says of the training labels; None if nothing was audited."""
    labels = evaluation.labels
    given_NK = labels.given_NK.astype(np.int8)
    return read_quality(
        AUDIT, "train", given_NK if labels.ignored_NK is None else np.where(labels.ignored_NK, -1, given_NK)
    )


def doubts(evaluation: Evaluation, audited: LabelQuality | None) -> Doubts:
    """What the audit doubts; where nothing was audited, what the verdicts doubt."""
    return doubts_of_verdicts(evaluation.labels) if audited is None else doubts_of_audit(audited)


def image_files(manifest: Manifest) -> list[str]:
    """The training images in manifest order, relative to their root; none for features."""
    return [] if holds_features(manifest) else list(manifest.paths("train"))


if __name__ == "__main__":
    console.run(main, "stages.evaluate", __doc__)
