"""The pictures in docs/images: `python -m benchmarks.screenshots [FOLDER] [--mlflow | --registry]`.

Of the report of a finished run, which FOLDER holds; without it, the current folder. With --mlflow instead the pages of
the MLflow record in FOLDER, which holds two runs or more, e.g. of `bmix compare --recipes bce balancemix`; with
--registry the registered model of that record, of which nights promoted two versions or more. Needs the package
playwright and the program chromium. Each picture has 256 colours and stays under 300 KB.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from PIL import Image

from bmix.support import console
from bmix.support.errors import InputError
from bmix.support.files import replaced
from bmix.tracking.champion import REGISTERED
from bmix.tracking.view import KEY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
LIMIT = 300_000
SHOTS = {
    "report": (1280, 1500, "h1"),
    "report-labels": (1280, 1000, "#suspects"),
    "report-phone": (390, 1100, "#suspects"),
}
"""Name of each picture of a report: width and height in CSS pixels, and the element at its top."""
PATIENCE = 600
"""Seconds that a tracking server has to start, and a page to show what it is asked for."""
CLOSED = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""


def take_report(page_file: Path, folder: Path = IMAGES) -> list[Path]:
    """Take every picture of one report; the files. InputError if there is no such page, or nothing to take it with."""
    if not page_file.is_file():
        raise InputError(str(page_file), "no such file", "the report of a finished run", "run the pipeline: bmix repro")
    written = []
    with _browser() as browser:
        for name, (width, height, top) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.goto(page_file.resolve().as_uri())
            if page.locator(top).count():
                page.locator(top).first.evaluate("(element) => window.scrollTo(0, element.offsetTop - 16)")
                written.append(_save(page.screenshot(), folder / f"{name}.png"))
    return written


def take_record(database: Path, folder: Path = IMAGES) -> list[Path]:
    """Take the list of runs, by bmix's saved view, and the last two compared; InputError if there are fewer."""
    if not database.is_file():
        remedy = "make one: bmix compare --recipes bce balancemix"
        raise InputError(str(database), "no such file", "a folder with an MLflow record", remedy)
    experiment, runs = _last_runs(database, 2)
    compared = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
    with _tracking_server(database) as address, _browser() as browser:
        page = _page(browser, 1280, 420, f"{address}/#/experiments/{experiment}/runs?viewStateShareKey={KEY}")
        page.get_by_role("button", name="Hide banner").click()
        page.get_by_role("button", name="Toggle sidebar").click()
        page.get_by_text("mAP/all").first.wait_for()
        written = [_shot(page, folder / "mlflow-runs.png")]
        page = _page(browser, 1000, 1400, f"{address}/#/compare-runs?{compared}")
        page.get_by_role("button", name="Toggle sidebar").click()
        page.get_by_text("Show diff only").last.wait_for()
        # Of the params and of the metrics.
        for switch in page.get_by_role("switch").all()[:2]:
            switch.click()
        page.get_by_text("Visualizations").scroll_into_view_if_needed()
        written.append(_shot(page, folder / "mlflow-compare.png"))
    return written


def take_registry(database: Path, folder: Path = IMAGES) -> list[Path]:
    """Take the page of the registered model: its versions with their tags and aliases; InputError without a record."""
    if not database.is_file():
        remedy = "make one: python -m flows.retrain --once"
        raise InputError(str(database), "no such file", "a folder with the MLflow record of nights", remedy)
    with _tracking_server(database) as address, _browser() as browser:
        page = _page(browser, 1280, 620, f"{address}/#/models/{REGISTERED}")
        page.get_by_text("champion").first.wait_for()
        return [_shot(page, folder / "mlflow-registry.png")]


def _last_runs(database: Path, count: int) -> tuple[str, list[str]]:
    """The experiment bmix, and its newest parent runs, the newest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{database.resolve()}")
    experiment = client.get_experiment_by_name("bmix")
    found = (
        client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"]) if experiment else []
    )
    runs = [run.info.run_id for run in found if "mlflow.parentRunId" not in run.data.tags]
    if experiment is None or len(runs) < count:
        remedy = "make more: bmix compare --recipes bce balancemix"
        raise InputError(str(database), f"{len(runs)} runs", f"{count} runs or more", remedy)
    return str(experiment.experiment_id), runs[:count]


@contextmanager
def _browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise InputError("chromium", "no such program", "a browser to take pictures with", "install it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def _page(browser: Browser, width: int, height: int, address: str) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.set_default_timeout(1000 * PATIENCE)
    page.add_init_script(CLOSED)
    page.goto(address)
    return page


@contextmanager
def _tracking_server(database: Path) -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [*command, "--backend-store-uri", f"sqlite:///{database.resolve()}"],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        _wait_for(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE)


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise InputError("mlflow server", "it does not start", "a server on the record", "run it by hand to see why")


def _shot(page: Page, path: Path) -> Path:
    # Plots and cells are drawn after what was waited for; the page asks for news without end.
    page.wait_for_timeout(10_000)
    return _save(page.screenshot(), path)


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
    pages = parser.add_mutually_exclusive_group()
    pages.add_argument("--mlflow", action="store_true", help="take the pages of the MLflow record, not the report")
    pages.add_argument("--registry", action="store_true", help="take the page of the registered model instead")
    arguments = parser.parse_args()
    database = arguments.folder / "mlflow.db"
    if arguments.registry:
        written = take_registry(database)
    else:
        written = take_record(database) if arguments.mlflow else take_report(arguments.folder / "report.html")
    for path in written:
        print(f"{path.stat().st_size / 1000:6.0f} KB  {path}")


if __name__ == "__main__":
    console.run(main)
