from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from bmix.data.augment import build_augment
from bmix.data.images import load_image
from bmix.data.manifest import Manifest, validate, write_manifest
from bmix.embedding import embed as module
from bmix.embedding.embed import embed, embed_prepared
from bmix.models import frozen
from bmix.models.frozen import backbone_features, frozen_backbone
from bmix.models.networks import ImageNetwork
from bmix.models.store import Classifier
from bmix.randomness import keys
from bmix.sources.features.read import FEATURES_FILE, read_features
from bmix.sources.table.read import read_table
from bmix.support import pace
from bmix.support.errors import InputError
from tests.helpers.tiny import write_params, write_table

SIZE = 32


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PART_ROWS", 10)
    table = write_table(tmp_path, images=36)
    manifest = read_table(table, tmp_path / "images", 0)
    manifest.frame["ignore"] = [
        ["fish"] if "fish" not in row and n % 5 == 0 else [] for n, row in enumerate(manifest.frame["labels"])
    ]
    manifest.frame["true"] = [row[1:] for row in manifest.frame["labels"]]
    manifest.frame["digest"] = "0" * 16
    return manifest


@pytest.fixture(scope="module")
def backbone() -> Classifier:
    return frozen_backbone("small", "none", SIZE)


def test_the_archive_holds_the_plain_view_and_the_augmented_ones(images: Manifest, backbone: Classifier) -> None:
    embed(images, Path("images"), backbone, Path("set.npz"), views=2, seed=3, augment="gentle", batch=4)
    content = np.load("set.npz")
    assert content["X"].dtype == np.float16
    assert content["X"].shape == (36, 3, 128)
    augment = build_augment("gentle")
    for row in (0, 11, 35):
        image = load_image(Path("images") / images.frame["path"].iloc[row], SIZE)[None]
        shown = [image, *(augment(image, keys(np.array([row]), 3, "embed", view)) for view in (1, 2))]
        for view, one in enumerate(shown):
            expected = backbone_features(cast(ImageNetwork, backbone.network), backbone.normalise(one))[0]
            assert np.allclose(content["X"][row, view], expected.numpy(), rtol=2e-3, atol=2e-3)
    manifest = read_features(Path("set.npz"), {}, 0, Path("made"))
    validate(manifest, "set.npz")
    assert manifest.frame["true"].tolist() == images.frame["true"].tolist()
    columns = ["id", "split", "labels", "ignore"]
    assert manifest.frame[columns].to_numpy().tolist() == images.frame[columns].to_numpy().tolist()
    assert manifest.classes == images.classes
    assert np.array_equal(np.load(Path("made") / FEATURES_FILE), content["X"])


def test_equal_runs_give_equal_bytes_and_a_killed_one_goes_on(
    images: Manifest, backbone: Classifier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embed(images, Path("images"), backbone, Path("whole.npz"), views=1)
    whole = Path("whole.npz").read_bytes()
    loaded: list[Path] = []
    decode = frozen.load_image

    def failing(path: Path, image_size: int) -> torch.Tensor:
        loaded.append(path)
        if len(loaded) == 25:
            raise KeyboardInterrupt
        return decode(path, image_size)

    monkeypatch.setattr(frozen, "load_image", failing)
    with pytest.raises(KeyboardInterrupt):
        embed(images, Path("images"), backbone, Path("set.npz"), views=1)
    assert not Path("set.npz").exists()
    kept = len(list(Path().glob(".set.npz.*.parts/*.npy")))
    assert kept == 2
    capsys.readouterr()
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    monkeypatch.setattr(pace.time, "monotonic", lambda: 0.0)
    loaded.clear()
    loaded += [Path()] * 25
    embed(images, Path("images"), backbone, Path("set.npz"), views=1)
    assert len(loaded) - 25 == 36 - 20
    told = capsys.readouterr()
    assert "goes on after 20 of 36 images" in told.out
    assert told.err.splitlines() == [f"embedded {count} of 36 images, about 0 s left" for count in (30, 36)]
    assert Path("set.npz").read_bytes() == whole
    assert not list(Path().glob(".set.npz*"))


@pytest.mark.parametrize("change", [{"views": 2}, {"seed": 1}, {"augment": "gentle"}])
def test_parts_of_other_settings_are_not_taken_over(
    images: Manifest, backbone: Classifier, change: dict[str, object]
) -> None:
    settings = {"views": 1, "seed": 0, "augment": "randaugment-flip", "batch": 32}
    own = module._key(images, backbone, **settings)  # type: ignore[arg-type]
    assert own == module._key(images, backbone, **settings)  # type: ignore[arg-type]
    assert own != module._key(images, backbone, **(settings | change))  # type: ignore[arg-type]
    images.frame["digest"] = ["1" * 16, *images.frame["digest"][1:]]
    assert own != module._key(images, backbone, **settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_embeds_what_is_prepared(
    images: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(tmp_path, "data.source=table", "data.path=labels.csv", "data.root=images")
    write_manifest(images, Path("data/prepared"))
    settings: dict[str, Any] = {"views": 0, "backbone": "resnet18", "weights": "none", "image_size": 32}
    embed_prepared(Path("made/set.npz"), **settings)
    told = "data.source=features data.path=made/set.npz data.root=made model.backbone=identity"
    assert told in capsys.readouterr().out
    assert np.load("made/set.npz")["X"].shape == (36, 1, 512)
    # data/ holds data/prepared, and so cannot be data.root.
    embed_prepared(Path("data/set.npz"), **settings)
    assert "data.path=data/set.npz model.backbone=identity" in capsys.readouterr().out
    with pytest.raises(InputError, match="takes no images"):
        embed_prepared(Path("set.npz"), backbone="identity")
    with pytest.raises(InputError, match=r"is no \.npz"):
        embed_prepared(Path("set.csv"), backbone="small", weights="none")
    with pytest.raises(InputError, match=r"--output: .* lies in data/prepared"):
        embed_prepared(Path("data/prepared/set.npz"), backbone="small", weights="none")
    with pytest.raises(InputError) as caught:
        embed_prepared(Path("set.npz"), backbone="small")
    assert caught.value.where == "--weights"
    assert caught.value.remedy.startswith("set --weights to none")
    with pytest.raises(InputError, match=r"^--backbone: is 'smal'"):
        embed_prepared(Path("set.npz"), backbone="smal")
    write_manifest(Manifest(images.frame.assign(path=FEATURES_FILE), images.classes), Path("data/prepared"))
    with pytest.raises(InputError, match="holds features"):
        embed_prepared(Path("set.npz"))


def test_features_beyond_float16_are_refused(images: Manifest) -> None:
    huge = frozen_backbone("small", "none", SIZE)
    with torch.no_grad():
        for module_ in huge.network.modules():
            if isinstance(module_, torch.nn.BatchNorm2d):
                module_.bias.fill_(1e6)
    with pytest.raises(InputError, match="not finite in float16"):
        embed(images, Path("images"), huge, Path("set.npz"), views=0)
