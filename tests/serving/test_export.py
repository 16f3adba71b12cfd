from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from bmix import load_model
from bmix.cli.use import EXPORTS
from bmix.models.backbones import build_classifier
from bmix.models.calibration import Calibration
from bmix.models.ensemble import build_members
from bmix.models.heads import HeadSettings
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier
from bmix.serving import export as subject
from bmix.serving.export import FORMATS, description, export

CLASSES = ["cat", "dog", "ünicorn"]
BUILDS = [
    ("small", "linear", 1, None),
    ("small", "mlp", 1, None),
    ("small", "decoder", 1, None),
    ("small", "linear", 2, None),
    ("identity", "mlp", 1, 5),
    pytest.param("resnet18", "linear", 1, None, marks=pytest.mark.exhaustive),
    pytest.param("resnet18", "decoder", 1, None, marks=pytest.mark.exhaustive),
    pytest.param("efficientnet_lite0", "mlp", 1, None, marks=pytest.mark.exhaustive),
    pytest.param("identity", "linear", 1, 5, marks=pytest.mark.exhaustive),
]


def built(backbone: str, head: str, members: int, features: int | None) -> Classifier:
    size = 32
    settings = HeadSettings()

    def build(seed: int, weights: str):
        return build_classifier(backbone, head, len(CLASSES), weights, seed, features, settings, size)

    network = build_members(members, 0, build, "none")
    generator = torch.Generator().manual_seed(0)
    shape = (8, 3, size, size) if features is None else (8, features)
    # Batch statistics that are not a new network's.
    network(torch.randn(shape, generator=generator) * 2 + 1)
    spec = ClassifierSpec.of(backbone, head, size, CLASSES, settings, features, members)
    return Classifier(network, spec, Calibration(0.2, (0.1, 0.2, 0.9), "val")).eval()


def inputs_of(model: Classifier, count: int) -> torch.Tensor:
    rng = np.random.default_rng(count)
    if model.spec.features is not None:
        return torch.from_numpy(rng.normal(size=(count, model.spec.features)).astype(np.float32))
    return torch.from_numpy(rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head", "members", "features"), BUILDS)
def test_an_export_gives_the_probabilities_of_the_model(
    backbone: str, head: str, members: int, features: int | None, tmp_path: Path
) -> None:
    model = built(backbone, head, members, features)
    # Of pixels the size of the network's input, predict changes nothing.
    inputs = inputs_of(model, 5)
    expected = model.predict(inputs).numpy()
    assert len(np.unique(expected.round(6))) > len(expected)
    assert export(model, tmp_path / "m.onnx", "onnx") <= 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    name = "images" if features is None else "features"
    for count in (1, 5):
        found = session.run(["probabilities"], {name: inputs[:count].numpy()})[0]
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)
    stored = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(stored["classes"]) == CLASSES
    assert json.loads(stored["thresholds"]) == [0.1, 0.2, 0.9]
    assert json.loads(stored["temperature"]) == 0.2
    assert json.loads(stored["bmix"]) == json.loads((tmp_path / "m.onnx.json").read_text(encoding="utf-8"))
    assert not (tmp_path / "m.onnx.data").exists()

    assert export(model, tmp_path / "m.pt", "torchscript") <= 1e-5
    files = {"bmix.json": ""}
    script = torch.jit.load(str(tmp_path / "m.pt"), _extra_files=files)
    np.testing.assert_allclose(script(inputs).numpy(), expected, atol=1e-5)
    assert json.loads(files["bmix.json"]) == description(model)


@pytest.mark.slow
def test_safetensors_hold_all_that_rebuilds_the_model(tmp_path: Path) -> None:
    model = built("small", "mlp", 1, None)
    assert export(model, tmp_path / "m.safetensors", "safetensors") == 0
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        told = json.loads(file.metadata()["bmix"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    assert told == json.loads((tmp_path / "m.safetensors.json").read_text(encoding="utf-8")) == description(model)
    other = build_classifier(told["model"]["backbone"], told["model"]["head"], len(told["classes"]), "none", seed=9)
    other.load_state_dict(state)
    inputs = inputs_of(model, 3)
    mean, std = (torch.tensor(told["model"][key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        logits = other.eval()((inputs.float() / 255 - mean) / std)
    torch.testing.assert_close((logits / told["temperature"]).sigmoid(), model.predict(inputs))


def test_an_export_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_difference", lambda *_: 1e-3)
    with pytest.raises(RuntimeError, match=r"differs from the model by 0\.001: nothing was written"):
        export(built("small", "linear", 1, None), tmp_path / "m.safetensors", "safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_the_stored_model(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bmix.cli.app import app

    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {}\n")
    arguments = ["export-model", "--model", str(model_folder), "--format", "torchscript", "--output", "made.pt"]
    monkeypatch.setattr(sys, "argv", ["bmix", *arguments])
    with pytest.raises(SystemExit) as ended:
        app(prog_name="bmix")
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    assert shown.out.startswith("made.pt and made.pt.json written; its probabilities differ by ")
    told = json.loads(Path("made.pt.json").read_text(encoding="utf-8"))
    model = load_model(model_folder)
    assert told["thresholds"] == list(model.calibration.thresholds)
    assert told["input"]["shape"] == ["batch", 3, 16, 16]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ValueError, match=r"onnxscript is not installed\n.*\n  fix: pip install \"bmix\[onnx\]\""):
        export(built("small", "linear", 1, None), tmp_path / "m.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_knows_every_format() -> None:
    assert EXPORTS == FORMATS
