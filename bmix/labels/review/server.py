"""The review as pages on 127.0.0.1."""

from __future__ import annotations

import hmac
import io
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bmix.data.decoding import UnusableImageError, decode
from bmix.labels.review.queue import Question
from bmix.labels.review.session import Review
from bmix.support.errors import InputError
from bmix.support.locks import held
from bmix.support.sockets import open_socket

HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What the page may be called: a site elsewhere whose name leads here is none of them."""
_LARGEST_BODY = 2**18
_SIDE = 1024
"""Pixels of the longer side of a picture as it is sent."""
_COOKIE, _TOKEN = "reviewer", "x-review-token"


def build_app(review: Review, files: list[Path] | None, classes: list[str]) -> FastAPI:
    """The pages of a review. files: of the images by row; None: there are no pictures.

    Requests that change something need the token that the page holds, so that no other site can send them.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    token = secrets.token_urlsafe(24)
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    ).get_template("page.html.j2")

    @app.middleware("http")
    async def guarded(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = _refusal(request, token)
        response = JSONResponse({"error": refusal}, 403) if refusal else await go_on(request)
        response.headers.update(
            {
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Cache-Control": "no-store",
            }
        )
        return response

    @app.exception_handler(InputError)
    async def refused(_request: Request, error: InputError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.get("/")
    def page(request: Request) -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        response = HTMLResponse(template.render(nonce=nonce, token=token, classes=classes))
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src 'nonce-{nonce}'; "
            f"style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        if _COOKIE not in request.cookies:
            response.set_cookie(_COOKIE, secrets.token_hex(4), httponly=True, samesite="strict", max_age=10**7)
        return response

    @app.get("/picture/{number}")
    def picture(number: int) -> Response:
        if files is None or not 0 <= number < len(review.questions):
            return JSONResponse({"error": "no such picture"}, 404)
        try:
            image = decode(files[review.questions[number].row], at_least=_SIDE)
        except UnusableImageError as error:
            return JSONResponse({"error": str(error)}, 404)
        image.thumbnail((_SIDE, _SIDE))
        content = io.BytesIO()
        image.save(content, "JPEG", quality=85)
        return Response(content.getvalue(), media_type="image/jpeg")

    @app.post("/next")
    def following(request: Request) -> dict[str, Any]:
        return _state(review, review.next_questions(_reviewer(request)), files is not None)

    @app.post("/answer")
    def answer(request: Request, body: dict[str, Any]) -> dict[str, Any]:
        number, kind, right = body.get("number"), body.get("answer"), body.get("labels", [])
        if type(number) is not int or not isinstance(kind, str) or not isinstance(right, list):
            raise InputError("review", "a request of another form", "number, answer, labels", "reload the page")
        questions = review.answer(_reviewer(request), number, kind, [str(name) for name in right])
        return _state(review, questions, files is not None)

    @app.post("/undo")
    def undo(request: Request) -> dict[str, Any]:
        return _state(review, review.undo(_reviewer(request)), files is not None)

    return app


def _refusal(request: Request, token: str) -> str:
    """Why a request is not answered; "" if it is."""
    host = request.headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name not in _NAMES:
        return f"this page is called {HOST} or localhost"
    if request.method == "GET":
        return ""
    if request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return "a request from another site"
    if not hmac.compare_digest(request.headers.get(_TOKEN, "").encode(), token.encode()):
        return "the page is out of date: reload it"
    length = request.headers.get("content-length", "")
    return "" if length.isdigit() and int(length) <= _LARGEST_BODY else "a request without a length, or too long"


def _reviewer(request: Request) -> str:
    name = request.cookies.get(_COOKIE, "")
    return name if name.isascii() and name.isalnum() and len(name) <= 32 else "unknown"


def _state(review: Review, questions: list[Question], has_pictures: bool) -> dict[str, Any]:
    done, total = review.progress()
    shown = [own.plain() | {"picture": f"picture/{own.number}" if has_pictures else ""} for own in questions]
    return {"done": done, "total": total, "questions": shown}


def serve(app: FastAPI, answers: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. ready: called with the address. InputError if another review writes to the same file."""
    import uvicorn

    def refusal(process: str) -> InputError:
        found = f"process {process} holds a review open on it"
        return InputError(str(answers), found, "one server; several people may use it", "open its page, or end it")

    with held(answers.with_name(f".{answers.name}.lock"), refusal), open_socket(HOST, port) as listening:
        ready(f"http://{HOST}:{listening.getsockname()[1]}/")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
