"""How many requests `bmix serve` answers on this machine: `python -m benchmarks.serving --model models/final`.

Starts the service on loopback, sends it pictures by several clients at once for a bounded time, and prints requests per
second, the median and the 99th percentile of the time that one takes, and how many failed; then a decompression bomb,
and, with --replace, a new model in the middle.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

PATIENCE = 120.0


async def load(address: str, pictures: list[bytes], clients: int, seconds: float) -> tuple[list[float], int]:
    """The seconds that each answered request took, and how many were not answered with 200."""
    taken: list[float] = []
    failed = 0
    ends = time.monotonic() + seconds

    async def client(number: int) -> None:
        nonlocal failed
        async with httpx.AsyncClient(base_url=address, timeout=PATIENCE) as own:
            sent = number
            while time.monotonic() < ends:
                started = time.monotonic()
                try:
                    answer = await own.post("/predict", content=pictures[sent % len(pictures)])
                except httpx.HTTPError:
                    failed += 1
                    continue
                taken.append(time.monotonic() - started)
                failed += answer.status_code != 200
                sent += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    return taken, failed


def pictures_of(side: int, count: int = 20) -> list[bytes]:
    """JPEG files of smooth noise, side x side pixels."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        file = io.BytesIO()
        small.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made


def bomb(side: int = 20_000) -> bytes:
    """A PNG of few bytes that decodes to side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def main(arguments: list[str] | None = None) -> int:
    """0 if no request failed and the bomb was refused; else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/final"))
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--side", type=int, default=500, help="of the pictures, pixels")
    parser.add_argument("--replace", action="store_true", help="put a new model in the folder after half the time")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        shutil.copytree(options.model, folder)
        command = [sys.executable, "-m", "bmix", "serve", "--model", str(folder), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
            try:
                return _measure(server, folder, options)
            finally:
                server.terminate()


def _measure(server: subprocess.Popen[str], folder: Path, options: argparse.Namespace) -> int:
    assert server.stdout is not None
    line = server.stdout.readline()
    if " at http" not in line:
        print(line, end="", file=sys.stderr)
        return 1
    address = line.split(" at ")[1].split(";")[0]
    pictures = pictures_of(options.side)
    asyncio.run(load(address, pictures, 1, 0.5))

    async def loaded() -> tuple[list[float], int]:
        working = asyncio.create_task(load(address, pictures, options.clients, options.seconds))
        if options.replace:
            await asyncio.sleep(options.seconds / 2)
            await asyncio.to_thread(_replace, folder)
        return await working

    taken, failed = asyncio.run(loaded())
    with httpx.Client(base_url=address, timeout=PATIENCE) as client:
        refused = client.post("/predict", content=bomb())
    p50, p99 = (1000 * float(np.quantile(taken, share)) for share in (0.5, 0.99))
    print(f"pictures     {options.side} x {options.side} JPEG, {options.clients} clients, {options.seconds:g} s")
    print(f"requests/s   {len(taken) / options.seconds:.1f}")
    print(f"p50, p99     {p50:.0f} ms, {p99:.0f} ms")
    print(f"answered     {len(taken)}, not with 200: {failed}")
    print(f"bomb         {refused.status_code}: {refused.json()['detail']}")
    return int(failed > 0 or refused.status_code != 413)


def _replace(folder: Path) -> None:
    new = folder.with_name("new")
    shutil.copytree(folder, new)
    (new / "calibration.json").unlink(missing_ok=True)
    folder.rename(folder.with_name("old"))
    new.rename(folder)


if __name__ == "__main__":
    sys.exit(main())
