"""The examples in pages and docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES
from tests.helpers.tiny import REPOSITORY

PUBLIC = [
    "bmix.load_model",
    "bmix.audit_labels",
    "bmix.MinoritySampler",
    "bmix.ManagedLabels",
    "bmix.noise.inject",
    "bmix.method.mixture.fit_loss_mixtures",
    "bmix.method.sampling.class_confidence",
    "bmix.method.sampling.instance_scores",
    "bmix.method.sampling.sampling_probability",
    "bmix.method.sampling.draw",
    "bmix.method.refine.refine_labels",
    "bmix.method.mixing.mixing_coefficient",
    "bmix.method.mixing.mix",
    "bmix.method.objective.balancemix_loss",
    "bmix.evaluation.metrics.average_precision",
    "bmix.evaluation.metrics.mean_average_precision",
]
"""The names that other people's code relies on."""
WITH_EXAMPLES = [path for path in (REPOSITORY / "bmix").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")], ids=str)
def test_examples_of_pages(page: Path) -> None:
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert tried
    assert not failed


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_of_docstrings(path: Path) -> None:
    name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_has_an_example(name: str) -> None:
    module, _, function = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    examples = (REPOSITORY / "docs/api.md").read_text(encoding="utf-8").split("```python")[1:]
    assert any(f"{function}(" in example.partition("```")[0] for example in examples)
