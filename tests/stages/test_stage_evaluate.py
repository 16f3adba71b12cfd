from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bmix.audit.files import write_audit
from bmix.data import pretrained, pseudo
from bmix.data.label_lists import label_lists
from bmix.data.manifest import Manifest, write_manifest
from bmix.data.noisy import write_labels
from bmix.evaluation.metrics import average_precision
from bmix.models.backbones import build_classifier
from bmix.models.calibration import weights_digest
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, load_classifier, save_classifier
from bmix.noise import measured_rates
from bmix.sources.facts import facts
from bmix.support.errors import InputError
from bmix.support.files import read_json, write_csv, write_json, write_parquet
from stages import evaluate as stage
from tests.helpers.evaluation_example import make_example, write_images
from tests.helpers.tiny import write_params

OUTPUTS = ["metrics.json", "plots", "report.html", "models/final/calibration.json", "models/final/README.md"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the stage reads; the model is untrained."""
    made = make_example(classes=4, images=60)
    rng = np.random.default_rng(0)
    tests = rng.random((30, 4)) < 0.5
    labels = np.concatenate([made.true, tests])
    splits = ["train"] * 60 + ["test"] * 10 + ["val"] * 10 + ["test-hard"] * 10
    paths = write_images(tmp_path / "data/prepared/images", 90)
    ignored = np.zeros_like(labels)
    ignored[60:62] = ~labels[60:62]
    frame = pd.DataFrame(
        {
            "id": [*made.ids, *(f"test-{n}" for n in range(30))],
            "path": [path.name for path in paths],
            "split": splits,
            "labels": label_lists(labels, made.classes),
            "ignore": label_lists(ignored, made.classes),
            "digest": "0" * 16,
        }
    )
    manifest = Manifest(frame, made.classes)
    write_audit(tmp_path / "data/audit", "off", made.classes, {})
    write_params(tmp_path, "evaluate.many=20", "evaluate.medium=5")
    write_manifest(manifest, tmp_path / "data/prepared")
    write_labels(tmp_path / "data/noisy", manifest, made.given, made.true)
    spec = ClassifierSpec.of("small", "linear", 16, made.classes)
    save_classifier(Classifier(build_classifier("small", "linear", 4, "none", seed=0), spec), tmp_path / "models/final")
    write_json(tmp_path / "data/prepared/facts.json", facts(manifest, 20, 5))
    measured = measured_rates(made.true, made.given)
    write_json(tmp_path / "data/noisy/noise.json", {"kind": "mislabel", "rate": 0.4, "measured": measured})
    write_json(tmp_path / "data/audit/noise_estimate.json", {"features": "off", "splits": {}})
    pretrained.write_nothing(tmp_path / "models/pretrained")
    pseudo.write_nothing(tmp_path / "data/pseudo", len(made.classes))
    write_parquet(tmp_path / "verdicts.parquet", made.verdicts)
    write_json(tmp_path / "verdicts.json", {"managed": True, "epsilon": 0.975, "classes": {}})
    write_csv(tmp_path / "history.csv", made.record.history)
    write_parquet(tmp_path / "mixtures.parquet", made.record.mixtures)
    write_csv(tmp_path / "sampler.csv", made.record.sampler)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(folder: Path) -> dict[str, bytes]:
    files = [path for name in OUTPUTS for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def leftovers(folder: Path) -> list[str]:
    written = [name for name in OUTPUTS if (folder / name).exists()]
    return written + [path.name for path in folder.rglob("*.tmp")]


def test_writes_all_outputs_twice_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage.main()
    first = outputs(project)
    assert "wrong labels found" in capsys.readouterr().out
    stage.main()
    assert outputs(project) == first
    metrics = read_json(project / "metrics.json")
    assert list(metrics) == ["mAP", "test-hard", "detection", "repair"]
    manifest = stage.read_manifest(stage.PREPARED)
    paths = [stage.PREPARED / "images" / path for path in manifest.paths("test")]
    labels = np.where(manifest.ignored("test"), -1, manifest.labels("test").astype(int))
    expected = average_precision(load_classifier(Path("models/final")).predict(paths), labels)
    assert metrics["mAP"]["all"] == pytest.approx(expected.mean(), abs=2e-6)


def test_the_model_gets_its_temperature_thresholds_and_card(project: Path) -> None:
    write_params(project, "evaluate.many=20", "evaluate.medium=5", "evaluate.precision=0.9")
    stage.main()
    model = load_classifier(Path("models/final"))
    fitted = read_json(Path("models/final/calibration.json"))
    assert fitted["weights"] == weights_digest(Path("models/final/model.safetensors"))
    assert (fitted["split"], fitted["images"], fitted["thresholds"]) == ("val", 10, "precision 0.9")
    assert list(fitted["measured"]) == ["test", "test-hard", "val"]
    assert model.calibration.temperature == fitted["temperature"]
    assert list(model.calibration.thresholds) == [row["threshold"] for row in fitted["classes"].values()]
    plain = load_classifier(Path("models/final"), calibrated=False)
    manifest = stage.read_manifest(stage.PREPARED)
    paths = [stage.PREPARED / "images" / path for path in manifest.paths("val")]
    logits = plain.predict(paths).logit()
    torch.testing.assert_close(model.predict(paths), (logits / fitted["temperature"]).sigmoid())
    card = Path("models/final/README.md").read_text(encoding="utf-8")
    assert str(project) not in card
    assert "Noise of the kind `mislabel` was injected" in card


def test_without_a_val_split_nothing_is_fitted_and_that_is_said(project: Path) -> None:
    manifest = stage.read_manifest(stage.PREPARED)
    frame = manifest.frame.assign(split=manifest.frame["split"].replace("val", "test"))
    write_manifest(Manifest(frame, manifest.classes), stage.PREPARED)
    stage.main()
    fitted = read_json(Path("models/final/calibration.json"))
    assert (fitted["split"], fitted["temperature"]) == (None, 1.0)
    calibration = load_classifier(Path("models/final")).calibration
    assert (calibration.fitted_on, set(calibration.thresholds)) == (None, {0.5})
    card = Path("models/final/README.md").read_text(encoding="utf-8")
    assert "No image is in split val: nothing was fitted." in card
    assert not Path("plots/reliability.png").exists()
    assert "What the probabilities are worth" not in Path("report.html").read_text(encoding="utf-8")


def test_where_the_truth_is_known_the_result_is_measured_against_it(project: Path) -> None:
    manifest = stage.read_manifest(stage.PREPARED)
    true = [names[1:] for names in manifest.frame["labels"]]
    write_manifest(Manifest(manifest.frame.assign(true=true), manifest.classes), stage.PREPARED)
    stage.main()
    known = stage.read_manifest(stage.PREPARED).true_labels("test")
    assert known is not None
    labels = np.where(manifest.ignored("test"), -1, known.astype(int))
    paths = [stage.PREPARED / "images" / path for path in manifest.paths("test")]
    expected = average_precision(load_classifier(Path("models/final")).predict(paths), labels)
    measured = read_json(project / "metrics.json")["mAP"]["all"]
    assert measured == pytest.approx(np.nanmean(expected), abs=2e-6)


def test_a_failure_leaves_nothing_and_keeps_what_was_there(project: Path) -> None:
    (project / "data/prepared/images/00000.png").unlink()
    for n in range(60):
        (project / f"data/prepared/images/{n:05d}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="not readable as an image"):
        stage.main()
    assert leftovers(project) == []
    (project / "metrics.json").write_text("kept")
    with pytest.raises(InputError):
        stage.main()
    assert leftovers(project) == ["metrics.json"]
    assert (project / "metrics.json").read_text() == "kept"


def test_refuses_what_does_not_fit_together(project: Path) -> None:
    write_params(project, "evaluate.split=test-easy")
    with pytest.raises(InputError, match=r"evaluate.split is test-easy(.|\n)*one of val, test, test-hard"):
        stage.main()
    write_params(project)
    model = read_json(project / "models/final/model.json")
    write_json(project / "models/final/model.json", {**model, "classes": ["a", "b", "c", "d"]})
    with pytest.raises(InputError, match=r'model.json: a model of the classes "a", "b", "c", "d"'):
        stage.main()
    (project / "sampler.csv").unlink()
    with pytest.raises(InputError, match=r"sampler.csv: no such file"):
        stage.main()
