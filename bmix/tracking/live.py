"""Metrics per epoch while a training runs, for people who watch MLflow; publish writes the lasting record."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any

from bmix.tracking.destination import tracking_on
from bmix.tracking.stamp import remove_stamp

_SECONDS_TO_END = 3


class LiveRun:
    """A run in MLflow that grows with the training.

    A process of its own (bmix.tracking.live_writer) imports MLflow and talks to it: the training waits for neither, and
    no loader process is forked in the middle of an import. Whatever fails is told once; then nothing more is sent.
    """

    def __init__(self, writer: subprocess.Popen[bytes] | None) -> None:
        self._writer = writer

    @classmethod
    def start(cls, stage: str, params: Mapping[str, Any]) -> LiveRun:
        """Start a live run of a stage below the parent of the flattened params; a no-op where tracking is off."""
        if not tracking_on():
            return cls(None)
        try:
            # The record is about to hold a run that publish has to replace.
            remove_stamp()
            command = [sys.executable, "-m", "bmix.tracking.live_writer"]
            pipe = subprocess.PIPE
            writer = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        except OSError as error:
            _warn(str(error))
            return cls(None)
        os.set_blocking(_open_end(writer.stdin).fileno(), False)
        live = cls(writer)
        live._send({"stage": stage, "params": dict(params)})
        return live

    def log_epoch(self, metrics: Mapping[str, Any], epoch: int) -> None:
        """Send the numbers of an epoch, keys as in history.csv; what is no finite number is left out."""
        numbers = {
            key: value
            for key, value in metrics.items()
            if key != "epoch" and isinstance(value, (int, float)) and math.isfinite(value)
        }
        self._send({"epoch": epoch, "metrics": numbers})

    def end(self, status: str = "FINISHED") -> None:
        """End the run as FINISHED, FAILED or KILLED; waits three seconds at most."""
        writer = self._writer
        if writer is None:
            return
        if not select.select([_open_end(writer.stdout)], [], [], 0)[0]:
            # It has not come as far as a run in MLflow, so there is none to end.
            _stop(writer)
            self._writer = None
            return
        self._send({"end": status})
        if self._writer is not None:
            self._writer = None
            _warn_of_failure(_stop(writer, _SECONDS_TO_END))

    def _send(self, message: dict[str, Any]) -> None:
        writer = self._writer
        if writer is None:
            return
        line = json.dumps(message).encode() + b"\n"
        try:
            sent = _open_end(writer.stdin).write(line)
        except BrokenPipeError:
            sent = None
        if sent != len(line):
            self._writer = None
            _warn_of_failure(_stop(writer), "failed: the tracking server does not keep up")


def _open_end(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the process was started without a pipe")
    return stream


def _stop(writer: subprocess.Popen[bytes], patience: float = 0) -> str:
    try:
        return writer.communicate(timeout=patience)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        writer.kill()
        return writer.communicate()[0].decode(errors="replace")


def _warn_of_failure(told: str, otherwise: str = "") -> None:
    for line in [*told.splitlines(), otherwise]:
        if line.startswith("failed: "):
            _warn(line.removeprefix("failed: "))
            return


def _warn(reason: str) -> None:
    print(f"warning: no live metrics in MLflow: {reason}\n  the training goes on without them", file=sys.stderr)
