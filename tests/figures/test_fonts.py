"""Class names in scripts that matplotlib's own font lacks: another font shows them, or numbers do."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image

from bmix.evaluation.doubted import doubts_of_verdicts
from bmix.figures.fonts import FONT, drawable, families
from bmix.figures.plots import write_plots
from bmix.figures.style import figure, short
from tests.helpers.evaluation_example import make_example, write_images

NAMES = ["黒猫", "子犬", "قطة سوداء", "हिन्दी", "😀 smile", "🦄🦄", "a\x01b", "x" * 10_000, "$\\alpha$", "=1+1"]


def write_font(path: Path, name: str, signs: str) -> Path:
    """A font whose every sign is a black box."""
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for point in ((50, 700), (950, 700), (950, 0)):
        pen.lineTo(point)
    pen.closePath()
    box = pen.glyph()
    glyphs = [".notdef", *(f"uni{ord(sign):X}" for sign in signs)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(sign): f"uni{ord(sign):X}" for sign in signs})
    font.setupGlyf(dict.fromkeys(glyphs, box))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 50)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWeightClass=400)
    font.setupPost()
    font.save(path)
    return path


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [entry for entry in fontManager.ttflist if entry.name == FONT]
    monkeypatch.setattr(fontManager, "ttflist", own)


@pytest.fixture
def cats(tmp_path: Path, no_other_fonts: None) -> str:
    fontManager.addfont(write_font(tmp_path / "cats.ttf", "Test Cats", "黒猫"))
    return "Test Cats"


def test_names_that_the_own_font_shows_take_no_other(cats: str) -> None:
    assert families(["cat (wild)", "קשת", "قطة", "naïve – ✓"]) == [FONT]
    assert drawable("قطة ✓") == "قطة ✓"


def test_a_font_of_the_machine_is_taken_where_it_is_needed(cats: str, tmp_path: Path) -> None:
    assert families(["cat", "黒猫"]) == [FONT, cats]
    assert short("黒猫") == "黒猫"
    assert short("黒犬") == "黒\\u72ac"
    with figure(tmp_path / "figure.png", 3, 2, ["黒猫"]) as drawn:
        drawn.text(0.1, 0.5, "黒猫")
    grey = np.asarray(Image.open(tmp_path / "figure.png").convert("L"))
    assert (grey < 60).sum() > 200, "no black boxes"


def test_a_sign_that_no_font_shows_is_numbered(no_other_fonts: None) -> None:
    assert [short(name) for name in ("黒猫", "子犬", "🦄", "a\x01b")] == [
        "\\u9ed2\\u732b",
        "\\u5b50\\u72ac",
        "\\U0001f984",
        "a\\u0001b",
    ]
    assert short("x" * 10_000) == "x" * 17 + "…"
    assert short("  a \n b ") == "a b"


@pytest.mark.slow
def test_no_name_in_any_script_warns(cats: str, tmp_path: Path) -> None:
    example = make_example(classes=len(NAMES), images=120, names=NAMES)
    files = [path.name for path in write_images(tmp_path / "images", 120)]
    evaluation = example.evaluation()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_plots(evaluation, doubts_of_verdicts(evaluation.labels), tmp_path / "plots", tmp_path / "images", files)


def test_a_second_family_does_not_change_what_the_first_can_show(cats: str, tmp_path: Path) -> None:
    for name, names in {"one": ["cat"], "two": ["cat", "黒猫"]}.items():
        with figure(tmp_path / f"{name}.png", 3, 2, names) as drawn:
            drawn.subplots().set(title="cat (wild) – ✓", xlabel="epoch")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_file_that_is_no_font_is_passed_over(
    no_other_fonts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.font_manager import FontEntry

    (tmp_path / "broken.ttf").write_bytes(b"no font")
    broken = [FontEntry(fname=str(tmp_path / name), name="Broken", weight=400) for name in ("broken.ttf", "gone.ttf")]
    monkeypatch.setattr(fontManager, "ttflist", fontManager.ttflist + broken)
    assert families(["黒"]) == [FONT]
