from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bmix.data import image_cache
from bmix.data import images as images_module
from bmix.data.augment import build_augment
from bmix.data.images import ImageStore, load_image
from bmix.support import pace
from bmix.support.errors import InputError
from bmix.training.steps import EpochPairs, EpochSteps, StepViews

SIDE = 24


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.jpg" for number in range(10)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(image_cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "MEMORY_LIMIT", 0)


def steps_of(store: ImageStore, augment: str = "randaugment-flip") -> EpochSteps:
    generator = torch.Generator().manual_seed(0)
    rows_N = torch.randperm(len(store), generator=generator)
    partners_N = torch.randint(len(store), (len(store),), generator=generator)
    pairs = EpochPairs(rows_N, partners_N, torch.rand(len(store), generator=generator))
    doubtful_N = torch.arange(len(store)) % 3 > 0
    return EpochSteps(store, build_augment(augment), pairs, doubtful_N, 4, seed=0, epoch=1)


def as_bytes(views: StepViews) -> list[bytes]:
    assert views.partner is not None
    sides = [(side.rows, side.train, side.doubtful, side.relabel) for side in (views.random, views.partner)]
    return [b"" if value is None else value.numpy().tobytes() for side in sides for value in side]


def all_bytes(steps: EpochSteps) -> list[list[bytes]]:
    return [as_bytes(steps[step]) for step in range(len(steps))]


def cached_file(folder: Path) -> Path:
    (path,) = folder.glob("*.npy")
    return path


@pytest.mark.parametrize("augment", ["none", "gentle", "randaugment-flip"])
def test_training_views_are_equal_from_memory_disk_and_cache(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: str
) -> None:
    expected = all_bytes(steps_of(ImageStore(paths, SIDE), augment))
    monkeypatch.setenv(image_cache.VARIABLE, str(tmp_path / "cache"))
    assert all_bytes(steps_of(ImageStore(paths, SIDE), augment)) == expected
    monkeypatch.setattr(images_module, "MEMORY_LIMIT", 0)
    assert all_bytes(steps_of(ImageStore(paths, SIDE), augment)) == expected
    monkeypatch.delenv(image_cache.VARIABLE)
    assert all_bytes(steps_of(ImageStore(paths, SIDE), augment)) == expected


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("cached", [False, True])
def test_the_number_of_workers_changes_nothing(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    if cached:
        monkeypatch.setenv(image_cache.VARIABLE, str(tmp_path / "cache"))
    steps = steps_of(ImageStore(paths, SIDE))
    by_workers = [
        [as_bytes(views) for views in DataLoader(steps, batch_size=None, num_workers=workers)] for workers in (0, 1, 2)
    ]
    assert by_workers[0] == all_bytes(steps)
    assert by_workers[1] == by_workers[0]
    assert by_workers[2] == by_workers[0]


@pytest.mark.usefixtures("little_memory")
def test_a_step_decodes_each_image_once(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = steps_of(ImageStore(paths, SIDE))
    decoded: list[Path] = []
    decode = images_module.decode
    monkeypatch.setattr(
        images_module, "decode", lambda path, at_least: decoded.append(path) or decode(path, at_least=at_least)
    )
    for step, positions in enumerate(steps.positions):
        decoded.clear()
        views = steps[step]
        assert steps.pairs.partners_N is not None
        rows = {*steps.pairs.rows_N[positions].tolist(), *steps.pairs.partners_N[positions].tolist()}
        assert sorted(decoded) == sorted(paths[row] for row in rows)
        assert views.partner is not None
        assert views.partner.rows.tolist() == steps.pairs.partners_N[positions].tolist()


@pytest.mark.usefixtures("little_memory")
def test_the_cache_is_announced_written_once_and_read(
    paths: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    store = ImageStore(paths, SIDE)
    path = cached_file(folder)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"BMIX_IMAGE_CACHE: writing 10 decoded images, 0.00 GiB, to {path}"
    assert lines[1].startswith("cached 10 of 10 images")
    monkeypatch.setattr(images_module, "decode", None)
    again = ImageStore(paths, SIDE)
    assert capsys.readouterr().err == ""
    rows = torch.tensor([7, 0, 7])
    assert torch.equal(store.read(rows), again.read(rows))
    assert torch.equal(pickle.loads(pickle.dumps(again)).read(rows), store.read(rows))
    assert len(pickle.dumps(again)) < 5000
    monkeypatch.undo()
    assert torch.equal(store.read(rows)[0], load_image(paths[7], SIDE))


@pytest.mark.usefixtures("little_memory")
def test_a_changed_image_another_size_or_order_has_a_cache_of_its_own(paths: list[Path], folder: Path) -> None:
    ImageStore(paths, SIDE)
    Image.new("RGB", (50, 40), "red").save(paths[3])
    changed = ImageStore(paths, SIDE)
    assert torch.equal(changed.read(torch.tensor([3]))[0], load_image(paths[3], SIDE))
    ImageStore(paths, SIDE + 1)
    reverse = ImageStore(paths[::-1], SIDE)
    assert torch.equal(reverse.read(torch.tensor([6]))[0], load_image(paths[3], SIDE))
    assert len(list(folder.glob("*.npy"))) == 4


@pytest.mark.usefixtures("little_memory")
def test_a_full_disk_is_refused_before_anything_is_written(
    paths: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, needed = 10**6, 10 * 3 * SIDE**2
    spare = int(image_cache.LEFT_FREE_SHARE * total)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=total, free=needed + spare - 1))
    with pytest.raises(InputError, match=r"(?s)BMIX_IMAGE_CACHE: .*too little for 10 decoded images.*it only saves"):
        ImageStore(paths, SIDE)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=total, free=needed + spare))
    ImageStore(paths, SIDE)


def test_a_folder_that_cannot_be_used_is_refused(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(image_cache.VARIABLE, str(paths[0] / "cache"))
    with pytest.raises(InputError, match=r"BMIX_IMAGE_CACHE: .* cannot be used"):
        ImageStore(paths, SIDE)


@pytest.mark.usefixtures("little_memory")
def test_an_unreadable_image_leaves_no_cache(paths: list[Path], folder: Path) -> None:
    paths[8].write_bytes(b"")
    with pytest.raises(InputError, match=r"8\.jpg: not readable"):
        ImageStore(paths, SIDE)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


@pytest.mark.usefixtures("little_memory")
def test_a_cut_off_cache_is_written_again(paths: list[Path], folder: Path) -> None:
    rows = torch.arange(10)
    expected = ImageStore(paths, SIDE).read(rows)
    path = cached_file(folder)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:60], b"\x93NUMPY" + whole[5:]):
        path.unlink()
        path.write_bytes(damaged)
        assert torch.equal(ImageStore(paths, SIDE).read(rows), expected)
        assert path.read_bytes() == whole


WRITER = """
import sys, time
from pathlib import Path
from bmix.data import images
images.MEMORY_LIMIT, images.DECODED_AT_ONCE = 0, 2
decode = images.decode
def slowly(path, at_least):
    Path(sys.argv[1], "started").touch()
    time.sleep(float(sys.argv[2]))
    return decode(path, at_least=at_least)
images.decode = slowly
images.ImageStore([Path(path) for path in sys.argv[3:]], 24)
"""


def writer(folder: Path, pause: float, paths: list[Path]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(folder.parent), str(pause), *map(str, paths)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {image_cache.VARIABLE: str(folder)})


@pytest.fixture
def writers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
def test_after_a_kill_the_next_process_starts_again(
    paths: list[Path], folder: Path, writers: list[subprocess.Popen[bytes]]
) -> None:
    writers.append(writer(folder, 60, paths))
    while not (folder.parent / "started").exists():
        assert writers[0].poll() is None
        time.sleep(0.02)
    writers[0].kill()
    writers[0].wait()
    assert list(folder.glob("*.part"))
    rows = torch.arange(10)
    assert torch.equal(ImageStore(paths, SIDE).read(rows)[9], load_image(paths[9], SIDE))
    assert {path.suffix for path in folder.iterdir()} == {".npy", ".lock"}


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
def test_two_processes_at_once_write_one_whole_cache(
    paths: list[Path], folder: Path, writers: list[subprocess.Popen[bytes]]
) -> None:
    writers.extend(writer(folder, 0.1, paths) for _ in range(2))
    told = [process.communicate(timeout=1800)[1].decode() for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert sum("writing 10 decoded images" in text for text in told) == 1
    store = ImageStore(paths, SIDE)
    for row, path in enumerate(paths):
        assert torch.equal(store.read(torch.tensor([row]))[0], load_image(path, SIDE))
