"""A port of this machine to listen on."""

from __future__ import annotations

import errno
import socket

from bmix.support.errors import InputError


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at `host`; port 0 takes a free one. InputError if the port or the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _refusal(host, port, error) from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # From here on a client waits to be answered; uvicorn itself listens only some time after the address is told.
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        raise _refusal(host, port, error) from error
    return listening


def _refusal(host: str, port: int, error: OSError | OverflowError) -> InputError:
    of_port = isinstance(error, OverflowError) or error.errno in (errno.EADDRINUSE, errno.EACCES)
    reason = error.strerror if isinstance(error, OSError) else error
    found, expected = f"{host}:{port}: {reason}", "an address and a free port of this machine"
    return InputError("--port" if of_port else "--host", found, expected, "choose another; port 0 takes a free one")
