"""Every command answers --help, and refuses what it does not know, before it does anything."""

from __future__ import annotations

import runpy
import signal
from pathlib import Path

import pytest

from tests.helpers.tiny import REPOSITORY

MODULES = [
    *(f"stages.{path.stem}" for path in sorted((REPOSITORY / "stages").glob("*.py")) if "__main__" in path.read_text()),
    "bmix",
    "bmix.tracking.live_writer",
    "bmix.training.launch",
    "flows.pipeline",
    "flows.retrain",
    "benchmarks.audit",
    "benchmarks.audit_images",
    "benchmarks.bench",
    "benchmarks.many_classes",
    "benchmarks.real_noise",
    "benchmarks.recipes",
    "benchmarks.scale",
    "benchmarks.screenshots",
    "benchmarks.tuning",
]


def test_the_stages_are_all_here() -> None:
    assert {f"stages.{name}" for name in ("prepare", "noise", "warmup", "train", "evaluate", "publish")} <= {*MODULES}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_a_command_line_is_read_before_anything_is_done(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing that a command needs is in this folder, so one that started would end otherwise.
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    for argument, status in (("--help", 0), ("--bogus", 2)):
        monkeypatch.setattr("sys.argv", [module, argument])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__")
        shown = capsys.readouterr()
        assert ended.value.code == status, shown.err
        told = (shown.out + shown.err).lower()
        assert "usage: " in told or (status == 2 and "--bogus" in told)
    signal.signal(signal.SIGTERM, handler)
    assert not list(tmp_path.iterdir())
