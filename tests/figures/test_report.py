from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from bmix.evaluation.doubted import doubts_of_verdicts
from bmix.evaluation.results import metrics_of, summary
from bmix.figures.gallery import galleries
from bmix.figures.panels import Drawn
from bmix.figures.plots import FIGURES, Drawings, Shown
from bmix.figures.report import FIGURE_TEXTS, LABEL_FIGURES
from tests.helpers.evaluation_example import make_example, write_images
from tests.helpers.report_example import page_of

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects the sources, the tags in balance, and the table cells of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    example = make_example(images=300)
    files = [path.name for path in write_images(tmp_path, 300)]
    evaluation = example.evaluation()
    shown = galleries(evaluation, doubts_of_verdicts(evaluation.labels), [tmp_path / file for file in files])
    panel = Drawn("<svg xmlns='http://www.w3.org/2000/svg'/>", 422, False)
    figures = {name: Shown([panel, panel], f"a note on {name}") for name in FIGURE_TEXTS}
    assert {*FIGURES, "found"} == set(FIGURE_TEXTS)
    assert set(LABEL_FIGURES) < set(FIGURE_TEXTS)
    text = page_of(example, Drawings(figures, shown, files))
    page = Page(text)
    assert page.open == []
    sources = [source for source in page.sources if not source.startswith("#")]
    assert len(sources) == 2 * len(figures) + 48
    assert all(source.startswith(("data:image/svg+xml;base64,", "data:image/jpeg;base64,")) for source in sources)
    assert not {"link", "iframe"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "url(" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert str(tmp_path) not in text
    for title, aid in FIGURE_TEXTS.values():
        assert title in text
        assert aid in text
    assert all(f"a note on {name}" in text for name in figures)
    assert files[shown[0].cards["row"].iloc[0]] in text
    assert text == page_of(example, Drawings(figures, shown, files))


def test_the_page_holds_the_numbers() -> None:
    example = make_example(images=300)
    evaluation = example.evaluation()
    cells = Page(page_of(example)).cells
    metrics = metrics_of(evaluation)
    assert f"{100 * metrics['mAP']['all']:.1f} of 10" in cells
    assert (
        f"{100 * metrics['test-balanced']['few']:.1f} of {evaluation.means('test-balanced')['classes']['few']}" in cells
    )
    for value in (metrics["detection"]["recall"], metrics["repair"]["repaired_positives"]):
        assert f"{100 * value:.1f}" in cells


def test_text_from_the_data_is_escaped() -> None:
    made = make_example(classes=2, images=100)
    names = {made.classes[0]: "<script>alert(1)</script>", made.classes[1]: "a & b"}
    ids = {name: f"<i>{name}</i>" for name in made.ids}
    verdicts = made.verdicts.replace({"class": names}).replace({"id": ids})
    made = replace(made, classes=list(names.values()), ids=list(ids.values()), verdicts=verdicts)
    evaluation = made.evaluation()
    text = page_of(made, Drawings({}, galleries(evaluation, doubts_of_verdicts(evaluation.labels), []), []))
    assert text.count("<script") == 1
    assert "<i>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "a &amp; b" in text
    assert "&lt;i&gt;train-" in text


def test_what_is_unknown_is_said() -> None:
    unknown = page_of(make_example(images=100), truth_known=False)
    assert "truth of the training labels is unknown" in unknown
    assert "<th>truth</th>" not in unknown
    assert "manages no labels" in page_of(make_example(images=100, managed=False))


def test_metrics_are_json_with_the_promised_keys() -> None:
    metrics = metrics_of(make_example(images=300).evaluation())
    assert list(metrics) == ["mAP", "test-balanced", "detection", "repair"]
    assert list(metrics["mAP"]) == ["all", "many", "medium", "few"]
    scores = ["precision", "recall", "f1"]
    assert list(metrics["detection"]) == [*scores, *(f"{name}_positives" for name in scores)]
    shares = ["repaired", "broken", "wrong_before", "wrong_after"]
    assert list(metrics["repair"]) == [*shares, *(f"{name}_positives" for name in shares)]
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    for managed, known in ((False, True), (True, False)):
        without = metrics_of(make_example(images=100, managed=managed).evaluation(truth_known=known))
        assert without["detection"] is None
        assert without["repair"] is None


def test_the_summary_is_short() -> None:
    lines = summary(make_example(images=300).evaluation()).splitlines()
    assert [line.split()[0] for line in lines] == ["mAP", "test", "test-balanced", "wrong"]


def test_a_recipe_that_doubts_labels_without_mixtures_is_told_so() -> None:
    found = make_example(images=300)
    no_mixtures = replace(found, record=replace(found.record, mixtures=found.record.mixtures.iloc[:0]))
    text = page_of(no_mixtures)
    assert "The recipe doubts labels by a rule of its own." in text
    assert "ε" not in text
    assert "ε = 0.975" in page_of(found)
    assert FIGURES["mixtures"](no_mixtures.evaluation()) is None
