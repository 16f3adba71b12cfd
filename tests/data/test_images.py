from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bmix.data import images as images_module
from bmix.data.augment import RandAugment, build_augment, gentle, identity
from bmix.data.images import ImageStore, image_tensor, load_image
from bmix.randomness import derive_seed, keys, torch_generator, uniforms
from bmix.support.errors import InputError


def test_an_image_is_rgb_square_and_upright(tmp_path: Path) -> None:
    picture = Image.new("L", (30, 20), 0)
    picture.paste(255, (0, 0, 15, 20))
    assert image_tensor(picture, 10).shape == (3, 10, 10)
    exif = Image.Exif()
    exif[0x0112] = 3  # stands on its head
    picture.save(tmp_path / "turned.png", exif=exif)
    turned = load_image(tmp_path / "turned.png", 10)
    assert turned[:, :, 0].max() == 0
    assert turned[:, :, 9].min() == 255


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"broken\.png: not readable as an image(.|\n)*replace the file"):
        load_image(path, 8)
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(InputError, match="is none of JPEG, PNG"):
        load_image(path, 8)
    with pytest.raises(InputError, match=r"missing\.png"):
        ImageStore([tmp_path / "missing.png"], 8)


def test_a_store_gives_the_same_from_memory_and_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    rows = torch.tensor([3, 0, 3])
    kept = ImageStore(paths, 16)
    assert kept.in_memory
    monkeypatch.setattr(images_module, "MEMORY_LIMIT", 100)
    read = ImageStore(paths, 16)
    assert not read.in_memory
    assert torch.equal(kept.read(rows), read.read(rows))
    assert torch.equal(kept.read(rows)[0], load_image(paths[3], 16))


@pytest.mark.parametrize("name", ["none", "gentle", "randaugment", "randaugment-flip"])
def test_a_view_depends_on_its_image_and_key_only(name: str) -> None:
    augment = build_augment(name)
    images = (torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    keys_B = keys(np.arange(6), 0, "test")
    state = torch.get_rng_state()
    views = augment(images, keys_B)
    assert torch.equal(torch.get_rng_state(), state)
    assert views.dtype == torch.uint8
    assert views.shape == images.shape
    alone = torch.cat([augment(images[b : b + 1], keys_B[b : b + 1]) for b in range(6)])
    assert (views.int() - alone.int()).abs().max() <= 1
    if name != "none":
        other = augment(images, keys(np.arange(6), 0, "another purpose"))
        assert not torch.equal(views, other)


def test_randaugment_draws_for_every_image() -> None:
    image = (torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    views = RandAugment(mirror=True)(image.expand(12, -1, -1, -1), keys(np.arange(12), 0, "test"))
    assert len({view.numpy().tobytes() for view in views}) > 6


def test_gentle_moves_a_blob_but_never_removes_it() -> None:
    images = torch.zeros(200, 3, 48, 48, dtype=torch.uint8)
    images[:, :, 4:12, 36:44] = 255
    views = gentle(images, keys(np.arange(200), 0, "test"))
    corner = (views[:, 0, :20, 28:].float() > 90).float().mean(dim=(1, 2)) * 400
    assert float(corner.min()) > 30
    assert not torch.equal(views[0], views[1])
    assert torch.equal(identity(images, np.arange(200)), images)


def test_seeds_and_keys_differ_by_purpose_and_position() -> None:
    assert derive_seed(0, "a") == derive_seed(0, "a")
    assert len({derive_seed(0, "a"), derive_seed(0, "b"), derive_seed(1, "a"), derive_seed(0, "a", 1)}) == 4
    assert torch.equal(
        torch.rand(3, generator=torch_generator(0, "a")), torch.rand(3, generator=torch_generator(0, "a"))
    )
    whole = keys(np.arange(1000), 0, "a")
    assert len(set(whole.tolist())) == 1000
    assert whole[17] == keys(np.array([17]), 0, "a")[0]


def test_uniforms_are_uniform_and_independent() -> None:
    draws = uniforms(keys(np.arange(20_000), 0, "a"), 3)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.01
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in draws.T])
    chi_square = ((counts - 1000) ** 2 / 1000).sum(axis=1)
    assert chi_square.max() < 50
    assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.03
