"""A managed epoch of BalanceMix beside bare steps of the same network, and where its time goes."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.gpu_parts.profile import profile_steps
from benchmarks.gpu_parts.runs import build_run, write_photographs
from benchmarks.gpu_parts.setting import PRECISIONS, Setting, forget_peak, peak_gib
from bmix.training import loop, passes
from bmix.training.engine import PRECISIONS as DTYPES
from bmix.training.loading import load, worker_count
from bmix.training.loop import Trainer
from bmix.training.ranks import Ranks
from bmix.training.steps import EpochSteps, draw_pairs

# What a warm-up and a managed epoch cost at most, in bare steps over the same images, each as much as three forward
# passes: two times a step, two passes over the images, four relabelling views.
_BARE_EPOCHS = (2 * 3 + 2 + 4) / 3
# Beside the estimate: building the network, starting loader processes, compiling kernels.
_OVERHEAD_SECONDS = 15

Row = dict[str, Any]


def measure(setting: Setting) -> dict[str, Any]:
    """For every image size and precision, as far as the time goes: rows of figures, profiles, what was left out."""
    photographs = write_photographs(setting.folder / "photographs", setting.scale.photographs)
    rows: list[Row] = []
    profiles: list[dict[str, Any]] = []
    left_out: list[str] = []
    loaders = {size: loader_alone(setting, photographs, size) for size in setting.scale.image_sizes}
    for image_size, alone in loaders.items():
        print(f"loader processes alone, {image_size} pixels: {alone['images_per_s']:.0f} images/s of a managed epoch")
    print(_HEADER)
    for precision in PRECISIONS:
        for image_size, (images, batch_size) in setting.scale.image_sizes.items():
            bare = bare_images_per_second(setting, image_size, batch_size, precision)
            estimate = _OVERHEAD_SECONDS + images * (_BARE_EPOCHS / bare + 2 / loaders[image_size]["images_per_s"])
            for audit in ("step", "epoch") if precision == PRECISIONS[0] else ("step",):
                if setting.budget.left < estimate:
                    left_out.append(f"{image_size} pixels, {precision}, audit {audit}")
                    continue
                trainer = build_run(photographs, setting.scale, image_size, setting.device, precision, audit)
                row: Row = {"image_size": image_size, "precision": precision, "audit": audit, "batch_size": batch_size}
                row |= {"bare_images_per_s": round(bare, 1)} | managed_epoch(setting, trainer)
                row["share_of_bare"] = round(row["images_per_s"] / bare, 3)
                rows.append(row)
                print(_line(row), flush=True)
                if audit == "step" and precision == PRECISIONS[0]:
                    profiles.append(
                        {"image_size": image_size, "precision": precision} | profile_steps(setting, trainer)
                    )
                del trainer
                gc.collect()
    for each in profiles:
        print(f"\nprofile of {each['steps']} managed steps, {each['image_size']} pixels, {each['precision']}:")
        print(each["table"])
        if each["gpu_busy_share"] is not None:
            print(f"the GPU computed for {each['gpu_busy_share']:.0%} of that time")
        for place, count in each["waits"].items():
            print(f"waits for the GPU: {count} in these steps at {place}")
    for run in left_out:
        print(f"left out, as the time would not do: {run}")
    return {
        "rows": rows,
        "loaders": [{"image_size": image_size} | alone for image_size, alone in loaders.items()],
        "profiles": profiles,
        "left_out": left_out,
    }


def bare_images_per_second(setting: Setting, image_size: int, batch_size: int, precision: str) -> float:
    """Forward, backward and optimiser steps of one batch that lies on the device, in the network's own layout."""
    photographs = write_photographs(setting.folder / "photographs", 1)
    trainer = build_run(photographs, setting.scale, image_size, setting.device, precision, images=batch_size)
    network, optimizer, scaler = trainer.classifier, trainer.engine.optimizer, trainer.engine.scaler
    network.train()
    images_B = torch.randn(batch_size, 3, image_size, image_size, device=setting.device)
    images_B = images_B.contiguous(memory_format=torch.channels_last)
    targets_BK = torch.rand(batch_size, setting.scale.classes, device=setting.device)
    dtype = DTYPES[precision]

    def step() -> None:
        with torch.autocast(setting.device.type, dtype, enabled=dtype != torch.float32):
            logits_BK = network(images_B)
        loss = binary_cross_entropy_with_logits(logits_BK.float(), targets_BK)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    for _ in range(min(3, setting.scale.bare_steps)):
        step()
    setting.synchronise()
    started = time.perf_counter()
    for _ in range(setting.scale.bare_steps):
        step()
    setting.synchronise()
    return batch_size * setting.scale.bare_steps / (time.perf_counter() - started)


def managed_epoch(setting: Setting, trainer: Trainer) -> Row:
    """The epoch after warm-up: its pace, its parts, and the time that the main process waited for views."""
    while trainer.epoch < trainer.plan.warmup_epochs:
        trainer.train_epoch()
    doubtful_N = trainer.recipe.doubtful_rows()
    forget_peak(setting)
    setting.synchronise()
    last_step = started = time.perf_counter()

    def on_step(epoch: int, step: int, steps: int) -> None:
        nonlocal last_step
        last_step = time.perf_counter()

    with waiting_timed() as waits:
        trainer.train_epoch(on_step)
    setting.synchronise()
    seconds, steps_seconds, images = time.perf_counter() - started, last_step - started, len(trainer.images)
    return {
        "images": images,
        "doubtful_images": None if doubtful_N is None else int(doubtful_N.sum()),
        "workers": worker_count(trainer.images, trainer.augment),
        "seconds": round(seconds, 3),
        "images_per_s": round(images / seconds, 1),
        "steps_images_per_s": round(images / steps_seconds, 1),
        "steps_share": round(steps_seconds / seconds, 3),
        "waiting_share_of_steps": round(waits["steps"] / steps_seconds, 3),
        "waiting_share_of_pass": round(waits["pass"] / (seconds - steps_seconds), 3),
        "peak_memory_gib": peak_gib(setting),
    }


def loader_alone(setting: Setting, photographs: list[Any], image_size: int) -> Row:
    """The pace at which loader processes make the views of a managed epoch of which every image is doubtful."""
    trainer = build_run(photographs, setting.scale, image_size, torch.device("cpu"))
    images, batch_size = len(trainer.images), trainer.plan.batch_size
    pairs, doubtful_N = draw_pairs(images, trainer.recipe, 0, 1), torch.ones(images, dtype=torch.bool)
    steps = EpochSteps(trainer.images, trainer.augment, pairs, doubtful_N, batch_size, 0, 1, Ranks())
    workers = worker_count(trainer.images, trainer.augment)
    started = time.perf_counter()
    for _ in load(steps, workers):
        pass
    return {"workers": workers, "images_per_s": round(images / (time.perf_counter() - started), 1)}


@contextmanager
def waiting_timed() -> Iterator[dict[str, float]]:
    """The seconds that the training loop and the pass over the images spend waiting for the next views."""
    waits = {"steps": 0.0, "pass": 0.0}

    def timed(part: str) -> Any:
        def loading(items: Any, workers: int) -> Iterator[Any]:
            started = time.perf_counter()
            for item in load(items, workers):
                waits[part] += time.perf_counter() - started
                yield item
                started = time.perf_counter()

        return loading

    with mock.patch.object(loop, "load", timed("steps")), mock.patch.object(passes, "load", timed("pass")):
        yield waits


_HEADER = (
    f"{'pixels':>6} {'precision':9} {'audit':5} {'batch':>5} {'bare':>9} {'epoch':>9} {'of bare':>8} "
    f"{'waiting':>8} {'doubtful':>9} {'memory':>10}\n"
    f"{'':27} {'images/s':>9} {'images/s':>9} {'':>8} {'in steps':>8} {'':>9} {'GiB':>10}"
)


def _line(row: Row) -> str:
    doubtful = "-" if row["doubtful_images"] is None else f"{row['doubtful_images'] / row['images']:.0%}"
    memory = "-" if row["peak_memory_gib"] is None else f"{row['peak_memory_gib']:.1f}"
    return (
        f"{row['image_size']:6} {row['precision']:9} {row['audit']:5} {row['batch_size']:5} "
        f"{row['bare_images_per_s']:9.1f} {row['images_per_s']:9.1f} {row['share_of_bare']:8.1%} "
        f"{row['waiting_share_of_steps']:8.1%} {doubtful:>9} {memory:>10}"
    )
