"""The trained model as an MLflow model: its folder, the code that runs it, signature, input example and pins."""

from __future__ import annotations

import io
import shutil
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bmix
from bmix.support.files import read_json

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CODE = ("__init__.py", "arrays.py", "randomness.py", "torchvision_import.py", "data", "models", "support")
"""What of bmix a loaded model imports."""
PINNED = ("torch", "torchvision", "numpy", "pandas", "pillow", "safetensors", "scipy", "pyarrow", "mlflow")
_SIDE = 32


def package(model: Path, folder: Path, model_id: str | None = None) -> None:
    """Write the model in the folder `model` to `folder` as an MLflow model, which is not loaded.

    model_id: of the logged model that it is to be.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    spec = read_json(model / "model.json")
    code = folder.with_name(f"{folder.name}-code") / "bmix"
    try:
        _copy_code(code)
        with warnings.catch_warnings():
            # Hints for whoever writes the model's code.
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                str(folder),
                mlflow_model=Model(model_id=model_id),
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={"model": str(model)},
                code_paths=[str(code)],
                signature=_signature(spec),
                input_example=_example(spec),
                pip_requirements=requirements(spec["backbone"]),
                metadata={"classes": spec["classes"]},
            )
    finally:
        shutil.rmtree(code.parent, ignore_errors=True)


def requirements(backbone: str) -> list[str]:
    """The versions that are installed here of what the model runs with, without local parts such as +cpu."""
    names = [*PINNED, *(["timm"] if backbone.startswith(("timm/", "efficientnet", "tresnet")) else [])]
    pins = []
    for name in names:
        try:
            pins.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return pins


def _copy_code(target: Path) -> None:
    source = Path(bmix.__file__).parent
    target.mkdir(parents=True)
    for name in CODE:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / name, target / name)


def _signature(spec: dict[str, Any]) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    if spec.get("features") is None:
        taken = Schema([ColSpec(DataType.binary, "image")])
    else:
        taken = Schema([TensorSpec(np.dtype(np.float32), (-1, spec["features"]))])
    return ModelSignature(taken, Schema([ColSpec(DataType.float, name) for name in spec["classes"]]))


def _example(spec: dict[str, Any]) -> Any:
    """A grey picture as the bytes of a PNG, or a row of zeros."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    if spec.get("features") is not None:
        return np.zeros((1, spec["features"]), np.float32)
    written = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (128, 128, 128)).save(written, "PNG")
    return pd.DataFrame({"image": [written.getvalue()]})
