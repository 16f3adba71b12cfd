"""What a service takes from a client at most, and in what time."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException, status
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Limits:
    """bytes: of a request's body. pixels: of an image, as stored. images: in one request. waiting: requests at once.

    seconds: for a body to arrive.
    """

    bytes: int = 16 * 2**20
    pixels: int = 50_000_000
    images: int = 64
    waiting: int = 64
    seconds: float = 30.0


class BodyLimit:
    """Answers 413 to a request whose body is too large: at once if it says so itself, else when it has proved so."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, with its body counted as it is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            declared = dict(scope["headers"]).get(b"content-length", b"0")
            if not declared.isdigit() or int(declared) > self.most_bytes:
                raise self._refusal()
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most_bytes:
                raise self._refusal()
            return message

        await self.app(scope, counted, send)

    def _refusal(self) -> HTTPException:
        told = f"the body is larger than {self.most_bytes:,} bytes"
        return HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, told, {"Connection": "close"})
