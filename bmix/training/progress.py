"""Progress as plain lines, with the time that is left."""

from __future__ import annotations

import time

from bmix.training.loop import Trainer

QUIET_SECONDS = 20.0
"""An epoch that takes longer says in between where it stands."""


class Progress:
    """Prints a line per epoch, and one every 20 seconds within an epoch; of several processes the first does."""

    def __init__(self, trainer: Trainer, until: int) -> None:
        self.trainer, self.until = trainer, until
        self._first = trainer.epoch
        self._started = self._spoke = time.perf_counter()

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Called after every step."""
        if self.trainer.ranks.first and time.perf_counter() - self._spoke >= QUIET_SECONDS:
            done = epoch - 1 + step / steps
            print(f"epoch {epoch}/{self.trainer.plan.epochs}  step {step}/{steps}  {self._left(done)}", flush=True)
            self._spoke = time.perf_counter()

    def on_epoch(self) -> None:
        """Called after every epoch."""
        if not self.trainer.ranks.first:
            return
        row, seconds = self.trainer.tables.history[-1], self.trainer.tables.seconds[-1]
        parts = [
            f"epoch {row['epoch']}/{self.trainer.plan.epochs} {row['phase']}",
            f"loss {row['train_loss']:.4f}",
        ]
        if row["given_loss"] is not None:
            parts.append(f"given {row['given_loss']:.4f}")
        if row["val_map"] is not None:
            parts.append(f"val mAP {100 * row['val_map']:.1f}")
        if row["clean"] is not None:
            parts.append(
                f"of the given positives {row['clean_positives']:.1%} clean, "
                f"{row['relabelled_positives']:.1%} re-labelled, {row['ambiguous_positives']:.1%} ambiguous"
            )
        parts += [f"{seconds:.1f} s", self._left(row["epoch"])]
        print("  ".join(parts), flush=True)
        self._spoke = time.perf_counter()

    def _left(self, done: float) -> str:
        elapsed = time.perf_counter() - self._started
        seconds = round(elapsed / max(done - self._first, 1e-9) * (self.until - done))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"ETA {hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"ETA {minutes}:{seconds % 60:02d}"
