from __future__ import annotations

import pytest

from bmix.figures.opening import DEFAULTS, differing, opening, versions
from bmix.params import load_params
from tests.helpers.evaluation_example import make_example
from tests.helpers.report_example import SETTINGS
from tests.helpers.tiny import REPOSITORY


def test_the_defaults_are_the_params_that_the_repository_holds() -> None:
    assert load_params(DEFAULTS) == load_params(REPOSITORY / "params.yaml")
    assert differing(SETTINGS, "balancemix") == []


def test_what_differs_is_listed_with_its_default() -> None:
    settings = SETTINGS | {
        "data.path": "/home/somebody/mine/labels.csv",
        "training.recipe": "asl",
        "method.clean": False,
        "recipes.asl.margin": 0.1,
        "recipes.focal.gamma": 9.0,
        "training.new": 3,
    }
    assert differing(settings, "asl") == [
        ("data.path", "…/labels.csv", "data/digits/scenes.yaml"),
        ("training.recipe", "asl", "balancemix"),
        ("method.clean", "false", "true"),
        ("recipes.asl.margin", "0.1", "0.05"),
        ("training.new", "3", "–"),
    ]


@pytest.mark.parametrize(("known", "said"), [(True, "given positives are wrong ("), (False, "is not known")])
def test_the_facts_say_what_ran(known: bool, said: str) -> None:
    found = opening(make_example(images=100).evaluation(known), SETTINGS)
    facts = dict(found.facts)
    assert found.heading == "balancemix on digits"
    assert "100 training images, 10 classes" in facts["Data"]
    assert facts["Injected noise"].startswith("mislabel, rate 40 %; ")
    assert said in facts["Injected noise"]
    assert facts["Seeds"] == "data 0, noise 0, audit 0, training 0"
    assert facts["Measured with"] == ", ".join(versions())
    assert "+" not in facts["Measured with"]
