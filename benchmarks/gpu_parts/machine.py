"""What was measured on: versions, device, cores, the room for loader processes."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bmix.data.images import usable_cores

PACKAGES = ("torch", "torchvision", "timm", "triton", "numpy", "pandas", "safetensors", "pillow", "scikit-learn")
SHARED_MEMORY = Path("/dev/shm")


def describe(device: torch.device) -> dict[str, Any]:
    """Versions and device, JSON."""
    shared = os.statvfs(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
    found = {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": usable_cores(),
        "shared_memory_gib": None if shared is None else round(shared.f_bavail * shared.f_frsize / 2**30, 2),
        "device": "cpu",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "device_memory_gib": round(properties.total_memory / 2**30, 1),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
