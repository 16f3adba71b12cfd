from __future__ import annotations

from dataclasses import replace

import pytest

from bmix.evaluation.origin import Origin
from bmix.figures.card import markdown, render_card
from bmix.models.spec import ClassifierSpec
from bmix.noise import measured_rates
from tests.helpers.evaluation_example import Example, make_example

NAMES = ["cat", "dog|<b>", "*owl*", "ünicorn"]


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example(classes=4, images=300, names=NAMES)


def origin(example: Example, kind: str = "mislabel", audited: bool = False) -> Origin:
    measured = measured_rates(example.true, example.given)
    return Origin(
        source="table",
        recipe="balancemix",
        images={"train": 300, "test": 600, "unlabelled": 5},
        labels_per_image={"train": 1.25, "test": 2.0},
        imbalance=60.0,
        noise=kind,
        removed=measured["removed_rate"],
        added=measured["added"],
        audited_by="backbone" if audited else "off",
        wrong=0.123 if audited else None,
        missing=0.0045 if audited else None,
    )


def spec(backbone: str = "small", features: int | None = None) -> ClassifierSpec:
    return ClassifierSpec.of(backbone, "linear", 40, NAMES, features=features)


def test_the_card_says_what_the_run_found(example: Example) -> None:
    evaluation = example.evaluation()
    card = render_card(evaluation, spec(), origin(example, audited=True), ["A warning of the run."])
    assert card == render_card(evaluation, spec(), origin(example, audited=True), ["A warning of the run."])
    assert "recipe\n`balancemix` for 30 epochs" in card
    assert "| unlabelled | 5 | – |" in card
    assert "has 60.0 times the positives of the rarest" in card
    assert "holds 12.3 % of the given training positives for wrong, and 0.45 %" in card
    assert f"added {int((example.given & ~example.true).sum()):,} wrong ones" in card
    assert "- A warning of the run." in card
    fitted = evaluation.calibration
    assert fitted is not None
    assert f"Logits are divided by {fitted.temperature:.4f}" in card
    mean = evaluation.means("test")["all"]
    assert f"| test | {100 * mean:.1f} (4) |" in card
    row = fitted.thresholds.iloc[3]
    assert f"| {row['threshold']:.3f} | {100 * row['precision']:.1f} |" in card


def test_names_are_no_markup(example: Example) -> None:
    card = render_card(example.evaluation(), spec(), origin(example))
    assert "| dog\\|\\<b\\> |" in card
    assert "| \\*owl\\* |" in card
    assert markdown("a\nb") == "a b"
    rows = [line.replace("\\|", "") for line in card.splitlines() if line.startswith(("| class |", "| dog"))]
    assert [row.count("|") for row in rows] == [8, 8]


def test_what_a_run_lacks_is_said(example: Example) -> None:
    evaluation = replace(example.evaluation(truth_known=False), calibration=None)
    card = render_card(evaluation, spec("identity", features=7), origin(example, kind="none"))
    assert "classes in vectors of 7 features" in card
    assert "No image is in split val: nothing was fitted." in card
    assert "The labels were not audited" in card
    assert "injected" not in card
    assert "known to be wrong" not in card
    assert "threshold |" not in card
    assert "bmix predict" not in card
