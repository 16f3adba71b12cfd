"""The trained model in the record: it loads as pyfunc without this project, and is logged once."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bmix import load_model
from bmix.models.backbones import build_classifier
from bmix.models.spec import ClassifierSpec
from bmix.models.store import Classifier, save_classifier
from bmix.tracking.packaged import package, requirements
from stages import publish
from tests.helpers.mlflow_runs import all_runs, client, parents
from tests.helpers.runs import CLASSES, write_images

LOAD = """
import base64, json, sys
sys.path = [path for path in sys.path if path]
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
images = [open(path, "rb").read() for path in sys.argv[2:]]
made = model.predict(pandas.DataFrame({"image": images}))
import bmix
print(json.dumps({"code": bmix.__file__, "columns": list(made.columns), "values": made.to_numpy().tolist()}))
"""


def save_model(folder: Path, seed: int = 0) -> Path:
    network = build_classifier("small", "linear", 3, "none", seed)
    save_classifier(Classifier(network, ClassifierSpec.of("small", "linear", 16, CLASSES)), folder)
    return folder


def failing(*_: object) -> None:
    raise OSError("the server is gone")


def logged() -> list:
    (experiment,) = {run.info.experiment_id for run in all_runs()}
    return list(client().search_logged_models([experiment]))


@pytest.mark.pipeline
def test_publish_logs_the_model_once_and_again_when_it_is_another(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(recorded / "models/final")
    publish.main()
    (parent,) = parents()
    (first,) = logged()
    assert first.source_run_id == parent.info.run_id
    assert [each.model_id for each in parents()[0].outputs.model_outputs] == [first.model_id]
    publish.main()
    Path(".bmix/published.json").unlink()
    publish.main()
    assert [each.model_id for each in logged()] == [first.model_id]

    # Cut off between the model and the line that makes it an output of the run.
    client().delete_logged_model(first.model_id)
    Path(".bmix/published.json").unlink()
    with monkeypatch.context() as cut_off:
        cut_off.setattr("bmix.tracking.models._name_as_output", failing)
        publish.main()
    assert not Path(".bmix/published.json").exists()
    publish.main()
    (first,) = logged()
    assert first.model_id in [each.model_id for each in parents()[0].outputs.model_outputs]

    monkeypatch.setenv("BMIX_REGISTER_MODEL", "labels of o'scenes")
    for _ in range(2):
        publish.main()
        Path(".bmix/published.json").unlink()
    (version,) = client().search_model_versions("run_id = '" + parent.info.run_id + "'")
    assert version.name == "labels of o'scenes"

    paths, _ = write_images(tmp_path, 2)
    expected = load_model(folder).predict(paths).tolist()
    place = next(Path("mlartifacts").rglob("MLmodel")).parent
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(place.resolve()), *map(str, paths)],
        cwd=tmp_path,
        env={"PATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["columns"] == CLASSES
    assert told["code"] == str(place.resolve() / "code/bmix/__init__.py")
    for found, right in zip(told["values"], expected, strict=True):
        assert found == pytest.approx(right, abs=1e-6)
    example = json.loads((place / "serving_input_example.json").read_text())
    assert base64.b64decode(example["dataframe_split"]["data"][0][0]).startswith(b"\x89PNG")

    save_model(folder, seed=1)
    publish.main()
    assert len(logged()) == 2


def test_the_pins_are_exact_and_name_what_the_backbone_needs() -> None:
    pins = dict(pin.split("==") for pin in requirements("timm/resnet10t"))
    assert {"torch", "torchvision", "pillow", "mlflow", "timm"} <= set(pins)
    assert not any("+" in pin for pin in pins.values())
    assert "timm" not in dict(pin.split("==") for pin in requirements("small"))


@pytest.mark.pipeline
def test_a_model_of_features_takes_an_array(tmp_path: Path) -> None:
    import numpy as np

    network = build_classifier("identity", "linear", 3, "none", 0, feature_count=4)
    spec = ClassifierSpec.of("identity", "linear", 16, CLASSES, features=4)
    model = Classifier(network, spec)
    save_classifier(model, tmp_path / "model")
    package(tmp_path / "model", tmp_path / "packed")
    assert not (tmp_path / "packed-code").exists()
    features = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    code = (
        "import sys, numpy, mlflow.pyfunc\n"
        "made = mlflow.pyfunc.load_model(sys.argv[1]).predict(numpy.load(sys.argv[2]))\n"
        "numpy.save(sys.argv[3], made.to_numpy())"
    )
    np.save(tmp_path / "features.npy", features)
    arguments = [str(tmp_path / name) for name in ("packed", "features.npy", "made.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, env={"PATH": ""}, check=True)
    import torch

    expected = model.predict(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "made.npy"), expected, atol=1e-6)
    shutil.rmtree(tmp_path / "packed")
