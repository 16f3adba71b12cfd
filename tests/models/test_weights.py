"""Weights files that are damaged, packed, or hold something else than numbers by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bmix.models.weights import read_weights
from bmix.support.errors import InputError


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_weights(path)
    assert caught.value.where == str(path)
    return caught.value


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"w": torch.empty(3, device="meta")}, "holds a tensor without plain numbers (meta, torch.float32) as w"),
        ({"w": torch.eye(3).to_sparse()}, "(sparse_coo, torch.float32) as w"),
        ({"w": torch.zeros(3, dtype=torch.complex64)}, "(strided, torch.complex64) as w"),
        ({3: torch.zeros(3)}, "holds 3 as a name"),
        ({"state_dict": {b"w": torch.zeros(3)}}, "holds b'w' as a name"),
        ({"epoch": 3, "w": torch.zeros(3)}, "holds no tensor but a int as epoch"),
        ({"w" * 5000: 3}, "w" * 80),
    ],
)
def test_what_is_not_numbers_by_name_is_refused(tmp_path: Path, content: Any, found: str) -> None:
    refused = refusal(saved(tmp_path / "w.pth", content))
    assert refused.found.endswith(found)
    assert len(str(refused)) < 400


def test_tensors_by_name_are_read_from_either_format_and_below_state_dict(tmp_path: Path) -> None:
    state = {"w": torch.arange(3.0)}
    for content in (state, {"state_dict": state, "epoch": 3}):
        assert torch.equal(read_weights(saved(tmp_path / "w.pth", content))["w"], state["w"])
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_weights(tmp_path / "old.pth")["w"], state["w"])


def packed(path: Path, change: Callable[[zipfile.ZipInfo, bytes], bytes], method: int) -> Path:
    """A torch file's entries in a new archive."""
    with zipfile.ZipFile(saved(path.with_suffix(".plain"), {"w": torch.zeros(2**18)})) as plain:
        entries = {entry: plain.read(entry) for entry in plain.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for entry, content in entries.items():
            archive.writestr(entry.filename, change(entry, content))
    return path


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = packed(tmp_path / "w.pth", lambda entry, content: content, zipfile.ZIP_DEFLATED)
    # A few kilobytes that unpack to a megabyte.
    assert bomb.stat().st_size < 2**14
    monkeypatch.setattr(torch, "load", lambda *_, **__: 1 / 0)
    assert refusal(bomb).found == "a packed archive of 1 MiB"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"w{suffix}", {"w": torch.zeros(300)})
    content = path.read_bytes()
    for half in (b"", content[:10], content[: len(content) // 2], content[:-30], content[10:]):
        path.write_bytes(half)
        refusal(path)
