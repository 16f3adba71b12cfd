"""What MLflow runs of a logged model: this file is copied into it, with the code that it needs beside it.

Images in: a column `image` of the bytes of image files, as base64 where they come by JSON. Of a model of features: an
array (N, D). Probabilities out: a column per class.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

MODEL, IMAGE = "model", "image"
"""The artifact that is the model's folder, and the column of images."""


class Labeller(PythonModel):
    """A trained model of bmix, as MLflow loads it."""

    def load_context(self, context: Any) -> None:
        """Load the model, on the GPU if there is one."""
        from bmix import load_model
        from bmix.models.device import available_device

        self.model = load_model(context.artifacts[MODEL]).to(available_device())

    def predict(self, context: Any, model_input, params=None):  # type: ignore[no-untyped-def]
        """The probability of every class, a row per image."""
        model = self.model
        if model.spec.features is not None:
            probabilities_NK = model.predict(torch.from_numpy(np.asarray(model_input, np.float32)))
        else:
            # Decoded as in training.
            from bmix.data.images import decode_image

            images = [decode_image(_bytes(each), model.spec.image_size) for each in model_input[IMAGE]]
            probabilities_NK = model.predict(torch.stack(images))
        return pd.DataFrame(probabilities_NK.numpy(), columns=list(model.classes))


def _bytes(image: bytes | str) -> bytes:
    return base64.b64decode(image, validate=True) if isinstance(image, str) else bytes(image)


set_model(Labeller())
