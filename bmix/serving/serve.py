"""The service on a port of this machine, until it is ended."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import uvicorn

from bmix.serving.limits import Limits
from bmix.serving.live import LiveModel
from bmix.serving.service import build_app
from bmix.support.sockets import open_socket

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SECONDS_TO_FINISH = 10


def serve(folder: Path, host: str, port: int, limits: Limits) -> None:
    """Answer requests until SIGINT or SIGTERM; those at work are finished. port: 0 for any that is free.

    InputError if the model cannot be loaded, or the port cannot be had.
    """
    live = LiveModel(folder)
    own = _is_loopback(host)
    with open_socket(host, port) as listening:
        place = listening.getsockname()
        app = build_app(live, limits, [*LOOPBACK, "[::1]"] if own else ["*"])
        if not own:
            told = f"warning: {host} can be reached from other machines, and nobody is asked who they are"
            print(told, file=sys.stderr)
        name = f"[{place[0]}]" if ":" in place[0] else place[0]
        print(f"serving {folder} at http://{name}:{place[1]}; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            limit_concurrency=4 * limits.waiting,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
