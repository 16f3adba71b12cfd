from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bmix.evaluation.calibration import content, fit_calibration
from bmix.models.calibration import CALIBRATION, weights_digest
from bmix.models.store import WEIGHTS, load_classifier, save_classifier
from bmix.support.files import write_json
from tests.helpers.runs import CLASSES, build_run, train, write_images


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 pictures of three classes."""
    folder = tmp_path_factory.mktemp("pictures")
    write_images(folder, 40)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A model trained for two epochs, with a temperature and thresholds fitted to its own training images."""
    folder = tmp_path_factory.mktemp("model")
    images = tmp_path_factory.mktemp("training")
    paths, labels_NK = write_images(images, 40)
    trainer = train(build_run(paths, labels_NK, epochs=2, warmup_epochs=1))
    save_classifier(trainer.classifier, folder)
    logits_NK = load_classifier(folder).predict(paths).logit().numpy()
    fitted = fit_calibration((logits_NK, labels_NK.astype(np.int8)), {})
    write_json(folder / CALIBRATION, content(fitted, CLASSES, weights_digest(folder / WEIGHTS)))
    return folder
