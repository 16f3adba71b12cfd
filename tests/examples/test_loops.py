"""The examples of the method in other people's loops run as they stand, and the method does its work in each."""

from __future__ import annotations

import importlib
import runpy
from typing import Any

import pytest
import torch

import bmix.torchvision_import  # noqa: F401 - before timm imports torchvision
from tests.helpers.tiny import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
NEEDS = {"plain_pytorch": "torch", "with_timm": "timm", "with_lightning": "pytorch_lightning"}
REPEATED = "with_lightning"
"""The same calls as plain_pytorch makes, in another loop: left to `--exhaustive`."""


def run_example(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the file defines, by name, after it ran as a program does; on one thread, as other tests run beside it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] if name == REPEATED else []) for name in NEEDS]
)
def test_an_example_trains_and_finds_wrong_labels(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        importlib.import_module(NEEDS[name])
    except ModuleNotFoundError:
        pytest.skip(f"needs the package {NEEDS[name]}, an optional extra")
    found = run_example(name, monkeypatch)
    if name == "with_lightning":
        losses, labels, sampler = found["module"].epoch_losses, found["module"].labels, found["module"].sampler
        first, last = losses[0], losses[-1]
    else:
        losses, labels, sampler, steps = found["losses"], found["labels"], found["sampler"], len(found["batches"])
        first, last = sum(losses[:steps]) / steps, sum(losses[-steps:]) / steps
    assert last < 0.8 * first
    wrong = found["given"] != found["true"]
    doubted = labels.p_clean <= 0.5
    assert (doubted & wrong).sum() >= 0.8 * wrong.sum()
    assert (doubted & ~wrong).sum() <= 0.3 * (~wrong).sum()
    rare = found["true"][:, 2] == 1
    assert len(rare) * sampler.probability[rare].mean() > 1.05
    told = capsys.readouterr().out
    assert f"of {wrong.sum()} wrong labels {(doubted & wrong).sum()} are doubted" in told
    if name == "with_timm":
        assert "of the 24 labels to be looked at first" in told
        assert wrong.numpy().ravel()[found["first"]].sum() >= 20


def test_the_page_shows_the_lines_of_the_example() -> None:
    page = (REPOSITORY / "docs/api.md").read_text(encoding="utf-8")
    excerpt = page.partition("## In your own training loop")[2].partition("```python\n")[2].partition("```")[0]
    assert len(excerpt.splitlines()) > 15
    assert excerpt in (EXAMPLES / "plain_pytorch.py").read_text(encoding="utf-8")
