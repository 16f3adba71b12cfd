"""The service: images in by HTTP, classes with their probabilities out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from fastapi import FastAPI, HTTPException, Query, Request, status
from starlette.datastructures import UploadFile
from starlette.middleware.trustedhost import TrustedHostMiddleware
from torch import Tensor

from bmix.data.decoding import TooManyPixelsError, UnusableImageError
from bmix.data.images import decode_image, usable_cores
from bmix.models.store import Classifier
from bmix.serving.export import description
from bmix.serving.limits import BodyLimit, Limits
from bmix.serving.live import LiveModel
from bmix.serving.predict import Predictions
from bmix.serving.tables import objects

REFRESH_SECONDS = 2.0
"""Between two looks at the model's folder."""
Made = TypeVar("Made")


class Service:
    """One model, one thread that uses it, threads that decode, and a bounded number of requests before them."""

    def __init__(self, live: LiveModel, limits: Limits) -> None:
        self.live, self.limits = live, limits
        self.waiting = 0
        self._decoding = ThreadPoolExecutor(usable_cores(), "decode")
        self._predicting = ThreadPoolExecutor(1, "predict")

    async def predict(self, request: Request, top: int) -> dict[str, Any]:
        """What the model says of the images in a request; HTTPException for what cannot be answered."""
        with self._place():
            images = await self._images(request)
            model, weights = self.live.current
            decoding = (self._run(self._decoding, self._decode, model, *image) for image in images)
            read = await asyncio.gather(*decoding)
            probabilities_BK = await self._run(self._predicting, _classify, model, read)
        present_BK = model.present(probabilities_BK)
        made = Predictions(model.classes, [name for name, _ in images], probabilities_BK, present_BK)
        return {"weights": weights, "predictions": objects(made, top)}

    async def watch(self) -> None:
        """Take a new model when the folder holds one, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            if told := await asyncio.to_thread(self.live.refresh):
                print(told, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Let the threads end."""
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._predicting.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self.waiting >= self.limits.waiting:
            told = f"{self.waiting} requests are waiting already"
            raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, told, {"Retry-After": "1"})
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def _images(self, request: Request) -> list[tuple[str, bytes]]:
        """Name and bytes of every image in a request: the files of a form, or the body."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                if request.headers.get("content-type", "").startswith("multipart/form-data"):
                    async with request.form(max_files=self.limits.images, max_fields=8) as form:
                        parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
                        images = [(part.filename or "", await part.read()) for part in parts]
                else:
                    body = await request.body()
                    images = [("", body)] if body else []
        except TimeoutError:
            told = f"the body did not arrive within {self.limits.seconds:g} s"
            raise HTTPException(status.HTTP_408_REQUEST_TIMEOUT, told) from None
        if not images:
            told = "no image: send one as the body, or several as files of a form (multipart/form-data)"
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, told)
        return images

    def _decode(self, model: Classifier, name: str, content: bytes) -> Tensor:
        try:
            return decode_image(content, model.spec.image_size, self.limits.pixels)
        except UnusableImageError as error:
            large = isinstance(error, TooManyPixelsError)
            code = status.HTTP_413_CONTENT_TOO_LARGE if large else status.HTTP_422_UNPROCESSABLE_CONTENT
            raise HTTPException(code, f"{name or 'the image'} {error}") from None

    @staticmethod
    async def _run(threads: ThreadPoolExecutor, work: Callable[..., Made], *arguments: Any) -> Made:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def _classify(model: Classifier, images: list[Tensor]) -> np.ndarray:
    with torch.inference_mode():
        return model.classify(torch.stack(images)).numpy()


def build_app(live: LiveModel, limits: Limits, hosts: list[str]) -> FastAPI:
    """The service as an ASGI app.

    hosts: what a request may name as its host, so that no page of another site can reach a service of this machine by a
    name of its own; `*` for any.
    """
    service = Service(live, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        try:
            yield
        finally:
            watching.cancel()
            service.close()

    # Its pages for people fetch scripts from elsewhere.
    app = FastAPI(title="bmix", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(BodyLimit, most_bytes=limits.bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service answers, with which weights, and how many requests wait."""
        return {"status": "ok", "weights": live.current[1], "waiting": service.waiting}

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Classes, temperature, thresholds, and how the model is fed."""
        return description(live.current[0])

    @app.post("/predict")
    async def predict(request: Request, top: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        """Labels and probabilities of an image in the body, or of the files of a form; top: the likeliest alone."""
        return await service.predict(request, top)

    return app
