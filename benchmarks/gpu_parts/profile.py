"""What a few managed steps do with their time, by torch's profiler, and where the CPU waits for the GPU."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_parts.setting import Setting
from bmix.training.loop import Trainer

STEPS, ROWS = 6, 20
_REPOSITORY = Path(__file__).resolve().parents[2]


class _EnoughError(Exception):
    """Ends an epoch after the steps that were to be seen."""


def profile_steps(setting: Setting, trainer: Trainer) -> dict[str, Any]:
    """Of the first steps of one more epoch: the operators that take most time, the GPU's busy share, its waits.

    The trainer is of no further use.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setting.on_gpu else [])]
    profiler = profile(activities=activities, acc_events=True)
    started, seconds, seen = 0.0, 0.0, 0

    def on_step(epoch: int, step: int, steps: int) -> None:
        nonlocal started, seconds, seen
        # The first step waits for the loader processes to start.
        if step == 1:
            setting.synchronise()
            profiler.start()
            started = time.perf_counter()
        if step == min(STEPS + 1, steps):
            setting.synchronise()
            seconds, seen = time.perf_counter() - started, step - 1
            profiler.stop()
            raise _EnoughError

    with waits_counted(setting) as waits, suppress(_EnoughError):
        trainer.train_epoch(on_step)
    events = profiler.key_averages()
    order = "self_device_time_total" if setting.on_gpu else "self_cpu_time_total"
    return {
        "steps": seen,
        "seconds": round(seconds, 4),
        "gpu_busy_share": round(gpu_seconds(events) / seconds, 3) if setting.on_gpu else None,
        "waits": dict(waits.most_common()),
        "table": events.table(sort_by=order, row_limit=ROWS, max_name_column_width=60),
    }


def gpu_seconds(events: Iterable[Any]) -> float:
    """What the GPU's own events took; those of operators hold the same time once more."""
    own = (event for event in events if event.device_type == DeviceType.CUDA and not event.is_user_annotation)
    return sum(event.self_device_time_total for event in own) / 1e6


@contextmanager
def waits_counted(setting: Setting) -> Iterator[Counter[str]]:
    """How often the CPU waits for the GPU, by the line of code; always empty on a CPU."""
    places: Counter[str] = Counter()
    if not setting.on_gpu:
        yield places
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in caught:
        if "synchroniz" in str(warning.message):
            file = Path(warning.filename)
            shown = file.relative_to(_REPOSITORY) if file.is_relative_to(_REPOSITORY) else Path(*file.parts[-3:])
            places[f"{shown}:{warning.lineno}"] += 1
