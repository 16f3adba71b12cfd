from __future__ import annotations

import asyncio
import io
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from bmix import load_model
from bmix.models.calibration import CALIBRATION, weights_digest
from bmix.models.store import WEIGHTS
from bmix.serving.limits import Limits
from bmix.serving.live import LiveModel
from bmix.serving.service import Service, build_app
from bmix.support.errors import InputError
from tests.helpers.projects import HANG_SECONDS
from tests.helpers.tiny import REPOSITORY

LIMITS = Limits(bytes=200_000, pixels=1_000_000, images=4, waiting=2, seconds=20.0)
HOST = "http://127.0.0.1"


@pytest.fixture(scope="module")
def client(model_folder: Path) -> Iterator[TestClient]:
    with TestClient(build_app(LiveModel(model_folder), LIMITS, ["127.0.0.1"]), base_url=HOST) as found:
        yield found


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that decodes to width x height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_image_in_the_body_gets_the_numbers_of_load_model(
    client: TestClient, pictures: Path, model_folder: Path
) -> None:
    model = load_model(model_folder)
    answer = client.post("/predict", content=(pictures / "003.png").read_bytes())
    assert answer.status_code == 200
    (made,) = answer.json()["predictions"]
    expected = model.predict(pictures / "003.png")
    torch.testing.assert_close(torch.tensor([list(made["probabilities"].values())]), expected)
    present = model.calibration.present(expected.numpy())[0]
    assert made["labels"] == [name for name, there in zip(model.classes, present, strict=True) if there]
    assert answer.json()["weights"] == weights_digest(model_folder / WEIGHTS)


def test_several_files_of_a_form(client: TestClient, pictures: Path, model_folder: Path) -> None:
    names = ["005.png", "001.png", "005.png"]
    files = [("files", (name, (pictures / name).read_bytes(), "image/png")) for name in names]
    answer = client.post("/predict?top=1", files=files)
    assert answer.status_code == 200
    assert [made["path"] for made in answer.json()["predictions"]] == names
    best = load_model(model_folder).predict([pictures / name for name in names]).max(dim=1).values
    found = [next(iter(made["probabilities"].values())) for made in answer.json()["predictions"]]
    np.testing.assert_allclose(found, best.numpy(), rtol=1e-6)


def test_the_state_is_told(client: TestClient, model_folder: Path) -> None:
    assert client.get("/health").json() == {
        "status": "ok",
        "weights": weights_digest(model_folder / WEIGHTS),
        "waiting": 0,
    }
    assert client.get("/model").json()["classes"] == list(load_model(model_folder).classes)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/gone"])
def test_there_is_no_page_that_fetches_from_elsewhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_what_is_too_large_is_refused(client: TestClient, pictures: Path) -> None:
    large = bytes(LIMITS.bytes + 1)
    assert client.post("/predict", content=large).status_code == 413
    assert client.post("/predict", files={"a": ("a.png", large)}).status_code == 413
    # Without a length said before.
    assert client.post("/predict", content=iter([large[:1000]] * 300)).status_code == 413
    packed = bomb(8_000, 8_000)
    assert len(packed) < LIMITS.bytes
    refused = client.post("/predict", files={"a": ("bomb.png", packed)})
    assert refused.status_code == 413
    assert refused.json()["detail"] == "bomb.png has 8000 x 8000 pixels, too many to be safe"
    assert client.post("/predict", content=bomb(30_000, 30_000)).status_code == 413
    many = [("files", (f"{n}.png", (pictures / "000.png").read_bytes())) for n in range(LIMITS.images + 1)]
    assert client.post("/predict", files=many).status_code == 400
    assert client.get("/health").json()["waiting"] == 0


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(client: TestClient, content: bytes) -> None:
    assert client.post("/predict", content=content).status_code == 422
    assert client.post("/predict?top=-1", content=content).status_code == 422


def test_another_name_of_this_machine_is_refused(client: TestClient) -> None:
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 400


def test_requests_beyond_the_queue_are_told_to_come_again(model_folder: Path, pictures: Path) -> None:
    live = LiveModel(model_folder)
    at_work, go_on = threading.Event(), threading.Event()
    model, _ = live.current
    classify = model.classify

    def slow(images: torch.Tensor) -> torch.Tensor:
        at_work.set()
        assert go_on.wait(HANG_SECONDS)
        return classify(images)

    model.classify = slow  # type: ignore[method-assign]
    app = build_app(live, LIMITS, ["*"])
    content = (pictures / "000.png").read_bytes()

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HOST, timeout=HANG_SECONDS) as asked:
            first = [asyncio.create_task(asked.post("/predict", content=content)) for _ in range(LIMITS.waiting)]
            await asyncio.to_thread(at_work.wait, HANG_SECONDS)
            while (await asked.get("/health")).json()["waiting"] < LIMITS.waiting:
                await asyncio.sleep(0.01)
            beyond = await asked.post("/predict", content=content)
            assert beyond.headers["Retry-After"] == "1"
            go_on.set()
            return [beyond.status_code, *[(await each).status_code for each in first]]

    assert asyncio.run(ask()) == [503, 200, 200]


def test_a_body_that_does_not_arrive_is_not_waited_for(model_folder: Path) -> None:
    app = build_app(LiveModel(model_folder), Limits(seconds=0.05), ["*"])

    async def ask() -> int:
        sent: list[dict] = []
        waiting = [{"type": "http.request", "body": b"x", "more_body": True}]

        async def receive() -> dict:
            if waiting:
                return waiting.pop()
            await asyncio.sleep(HANG_SECONDS)
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "raw_path": b"/predict",
            "query_string": b"",
            "headers": [(b"host", b"x")],
        }
        await app(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(ask()) == 408


def test_a_new_model_is_taken_and_a_broken_one_is_not(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    shutil.copytree(model_folder, folder)
    live = LiveModel(folder)
    before = live.current
    assert live.refresh() == ""
    assert live.current is before
    (folder / WEIGHTS).write_bytes(b"half")
    assert "kept the model as it was" in live.refresh()
    assert live.refresh() == ""
    assert live.current is before
    shutil.rmtree(folder)
    assert "no such file" in live.refresh()
    shutil.copytree(model_folder, folder)
    (folder / CALIBRATION).unlink()
    assert live.refresh().startswith("took the new model in")
    assert live.current[0].calibration.temperature == 1
    assert before[0].calibration.temperature != 1


def test_a_service_needs_a_model_of_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.json: no such file"):
        LiveModel(tmp_path)


def test_threads_end_with_the_service(model_folder: Path) -> None:
    with TestClient(build_app(LiveModel(model_folder), LIMITS, ["*"])) as client:
        assert client.get("/health").status_code == 200
    service = Service(LiveModel(model_folder), LIMITS)
    service.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        service._predicting.submit(print)


@pytest.mark.slow
def test_the_command_serves_takes_new_models_and_ends(model_folder: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    shutil.copytree(model_folder, folder)
    command = [sys.executable, "-m", "bmix", "serve", "--model", str(folder), "--port", "0"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            address = line.split(" at ")[1].split(";")[0]
            assert address.startswith("http://127.0.0.1:")
            content = io.BytesIO()
            Image.open(pictures / "000.png").convert("RGB").save(content, "JPEG")
            with httpx.Client(base_url=address, timeout=HANG_SECONDS) as client:
                first = client.post("/predict", content=content.getvalue()).json()["predictions"][0]["probabilities"]
                replacement = tmp_path / "other"
                shutil.copytree(model_folder, replacement)
                (replacement / CALIBRATION).unlink()
                folder.rename(tmp_path / "old")
                replacement.rename(folder)
                # Not one request fails in the meantime.
                started = time.monotonic()
                while time.monotonic() - started < HANG_SECONDS:
                    answer = client.post("/predict", content=content.getvalue())
                    assert answer.status_code == 200
                    if answer.json()["predictions"][0]["probabilities"] != first:
                        break
                    time.sleep(0.1)
                else:
                    pytest.fail("the new model was never taken")
            server.send_signal(signal.SIGTERM)
            _, told = server.communicate(timeout=HANG_SECONDS)
            assert "took the new model" in told
            assert "Traceback" not in told
            assert server.returncode in (0, -signal.SIGTERM, 143)
        finally:
            server.kill()


def test_a_link_that_is_swapped_under_the_service_loses_no_request(
    model_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    first, second, link = tmp_path / "first", tmp_path / "second", tmp_path / "champion"
    for folder in (first, second):
        shutil.copytree(model_folder, folder)
    weights = torch_weights(second / WEIGHTS, scale=2.0)
    link.symlink_to(first)
    live = LiveModel(link)
    picture = (pictures / "003.png").read_bytes()
    served = set()
    with TestClient(build_app(live, LIMITS, ["127.0.0.1"]), base_url=HOST) as asked:
        for turn in range(6):
            answer = asked.post("/predict", content=picture)
            assert answer.status_code == 200
            served.add(answer.json()["weights"])
            temporary = tmp_path / ".champion.tmp"
            temporary.symlink_to(first if turn % 2 else second)
            temporary.replace(link)
            live.refresh()
    assert served == {weights_digest(first / WEIGHTS), weights}


def torch_weights(path: Path, scale: float) -> str:
    """Multiply the weights in a file, drop the calibration, which was fitted to others; their digest."""
    from safetensors.torch import load_file, save_file

    save_file({name: scale * values for name, values in load_file(path).items()}, path)
    path.with_name(CALIBRATION).unlink()
    return weights_digest(path)
