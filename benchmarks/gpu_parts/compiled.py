"""`torch.compile` beside the network as it is: how long it takes to compile, and what a step and a pass gain by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.gpu_parts.setting import PRECISIONS, Setting
from bmix.models.backbones import build_classifier
from bmix.training.engine import PRECISIONS as DTYPES

# Without a GPU the parts around the compiler are tried, with a back end that generates no code.
_BACKEND_ON_CPU = "eager"
_LEAST_SECONDS = 60


def measure(setting: Setting) -> dict[str, Any]:
    """Rows of images/s, by image size; the relabelling views of a step come in batches of changing size."""
    found: dict[str, Any] = {"rows": [], "left_out": []}
    precision = PRECISIONS[0]
    for image_size, (_, batch_size) in setting.scale.image_sizes.items():
        if setting.on_gpu and setting.budget.left < _LEAST_SECONDS:
            found["left_out"].append(image_size)
            print(f"left out, as the time would not do: {image_size} pixels")
            continue
        torch.compiler.reset()
        row = {"image_size": image_size, "precision": precision, "batch_size": batch_size}
        row |= _compare(setting, image_size, batch_size, DTYPES[precision])
        found["rows"].append(row)
        print(f"{image_size} pixels, {precision}; largest deviation of a logit {row['largest_deviation']:.1e}")
        for mode in ("train", "evaluate"):
            pace, compiled, seconds = row[mode], row[f"{mode}_compiled"], row[f"{mode}_compile_s"]
            print(f"  {mode:9}{pace:9.1f} images/s, compiled {compiled:9.1f} after {seconds:.0f} s", flush=True)
    return found


def _compare(setting: Setting, image_size: int, batch_size: int, dtype: torch.dtype) -> dict[str, Any]:
    scale, device = setting.scale, setting.device
    network = build_classifier(scale.backbone, "linear", scale.classes, "none", seed=0).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backend = "inductor" if setting.on_gpu else _BACKEND_ON_CPU
    # One for each mode: in training batches have one size, in evaluation many.
    training = torch.compile(network, backend=backend)
    evaluating = torch.compile(network, backend=backend, dynamic=True)
    generator = torch.Generator().manual_seed(0)
    images_B = torch.randn(4 * batch_size, 3, image_size, image_size, generator=generator).to(device)
    images_B = images_B.contiguous(memory_format=torch.channels_last)
    targets_BK = torch.rand(batch_size, scale.classes, generator=generator).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)

    def logits(module: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return module(images).float()

    def train(module: Callable[[Tensor], Tensor]) -> int:
        network.train()
        loss = binary_cross_entropy_with_logits(logits(module, images_B[:batch_size]), targets_BK)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return batch_size

    @torch.no_grad()
    def evaluate(module: Callable[[Tensor], Tensor], views: int) -> int:
        network.eval()
        logits(module, images_B[:views])
        return views

    sizes = [4 * batch_size, 4 * batch_size - 2]
    found: dict[str, Any] = {}
    for name, module in (("", network), ("_compiled", training)):
        first, found[f"train{name}"] = _pace(setting, [partial(train, module)])
        found["train_compile_s"] = round(first, 1)
    for name, module in (("", network), ("_compiled", evaluating)):
        first, found[f"evaluate{name}"] = _pace(setting, [partial(evaluate, module, views) for views in sizes])
        found["evaluate_compile_s"] = round(first, 1)
    return found | {"largest_deviation": _deviation(network, evaluating, logits, images_B[:batch_size])}


def _pace(setting: Setting, calls: list[Callable[[], int]]) -> tuple[float, float]:
    """The seconds of the first calls, which compile, and then the images/s of as many rounds as a bare pass takes."""
    started = time.perf_counter()
    for _ in range(2):
        for call in calls:
            call()
    setting.synchronise()
    first = time.perf_counter() - started
    started, images = time.perf_counter(), 0
    for number in range(max(len(calls), setting.scale.bare_steps)):
        images += calls[number % len(calls)]()
    setting.synchronise()
    return first, round(images / (time.perf_counter() - started), 1)


@torch.no_grad()
def _deviation(network: nn.Module, compiled: Any, logits: Callable[..., Tensor], images_B: Tensor) -> float:
    network.eval()
    return float((logits(compiled, images_B) - logits(network, images_B)).abs().max())
