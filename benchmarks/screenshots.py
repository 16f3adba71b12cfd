"""The pictures of the report in docs/images, taken of a finished run: `python -m benchmarks.screenshots [FOLDER]`.

FOLDER holds the run's report.html; without it, the current folder. Needs the package playwright and the program
chromium. Each picture has 256 colours and stays under 300 KB.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image

from bmix.support import console
from bmix.support.errors import InputError
from bmix.support.files import replaced

IMAGES = Path(__file__).parents[1] / "docs" / "images"
LIMIT = 300_000
SHOTS = {
    "report": (1280, 1500, "h1"),
    "report-labels": (1280, 1000, "#suspects"),
    "report-phone": (390, 1100, "#suspects"),
}
"""Name of each picture: width and height in CSS pixels, and the element at its top."""


def take(page_file: Path, folder: Path = IMAGES) -> list[Path]:
    """Take every picture of one report; the files. InputError if there is no such page, or nothing to take it with."""
    if not page_file.is_file():
        raise InputError(str(page_file), "no such file", "the report of a finished run", "run the pipeline: bmix repro")
    program = shutil.which("chromium")
    if program is None:
        raise InputError("chromium", "no such program", "a browser to take pictures with", "install it")
    from playwright.sync_api import sync_playwright

    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, (width, height, top) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.goto(page_file.resolve().as_uri())
            if page.locator(top).count():
                page.locator(top).first.evaluate("(element) => window.scrollTo(0, element.offsetTop - 16)")
                written.append(_save(page.screenshot(), folder / f"{name}.png"))
        browser.close()
    return written


def _save(picture: bytes, path: Path) -> Path:
    drawn = Image.open(io.BytesIO(picture)).convert("RGB")
    with replaced(path) as temporary, temporary.open("wb") as file:
        drawn.quantize(256, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    if path.stat().st_size > LIMIT:
        raise InputError(str(path), f"has {path.stat().st_size:,} bytes", f"at most {LIMIT:,}", "show less in SHOTS")
    return path


def main() -> None:
    """Take the pictures and list their files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="of a finished run")
    for path in take(parser.parse_args().folder / "report.html"):
        print(f"{path.stat().st_size / 1000:6.0f} KB  {path}")


if __name__ == "__main__":
    console.run(main)
