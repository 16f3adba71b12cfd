"""The command for a GPU, tried on the CPU at toy size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import gpu
from benchmarks.gpu_parts import method, resume
from benchmarks.gpu_parts.profile import DeviceType, gpu_seconds
from bmix.training.state import STATE_FILES

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--quick", "--device", "cpu"]

# Found first by every Python that the command starts.
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}, as on a bare machine", name=name)

sys.meta_path.insert(0, Absent())
"""
ABSENT = {"pydantic", "mlflow", "dvc", "prefect", "pycocotools", "typer", "rich", "jinja2", "yaml", "defusedxml"}


@pytest.mark.exhaustive
@pytest.mark.slow
def test_every_part_runs_where_only_torch_and_its_like_are(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(names=ABSENT), encoding="utf-8")
    output = tmp_path / "figures.json"
    ended = subprocess.run(
        [sys.executable, "benchmarks/gpu.py", *QUICK, "--budget", "1e6", "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "BMIX_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    assert ended.returncode == 0, ended.stdout
    found = json.loads(output.read_text())
    assert found["machine"]["packages"]["torch"] == torch.__version__
    parts = found["parts"]
    assert list(parts) == list(gpu.PARTS)

    functions = parts["method"]["functions"]
    assert len(functions) == len(method.CASES)
    assert {(each["deviation"], each["passed"]) for each in functions} == {(0.0, True)}

    rows = {(row["precision"], row["audit"]): row for row in parts["epochs"]["rows"]}
    assert set(rows) == {("bf16", "step"), ("bf16", "epoch"), ("float32", "step"), ("fp16", "step")}
    for (_, audit), row in rows.items():
        assert row["share_of_bare"] == pytest.approx(row["images_per_s"] / row["bare_images_per_s"], abs=0.01)
        assert 0 < row["waiting_share_of_steps"] < 1
        assert (row["doubtful_images"] is None) == (audit == "epoch")
        assert row["images"] == 32
    assert max(rows[precision, "step"]["doubtful_images"] for precision in ("bf16", "float32", "fp16")) > 0
    (profile,) = parts["epochs"]["profiles"]
    assert profile["steps"] == 3
    assert "aten::" in profile["table"]
    assert parts["epochs"]["left_out"] == []

    assert parts["resume"]["runs"][0]["resumed"]["equal"] is True
    assert parts["compile"]["rows"][0]["largest_deviation"] < 1e-3
    for part in parts:
        assert f"== {part} ==" in ended.stdout


@pytest.mark.slow
def test_a_deviation_is_told_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case, calls = method.CASES[2], []

    def drifting(inputs: method.Inputs) -> method.Outputs:
        calls.append(1)
        drift = float("nan") if len(calls) > method.ROUNDS + 1 else 0.0
        return {name: value + drift for name, value in case.compute(inputs).items()}

    monkeypatch.setattr(method, "CASES", (replace(case, compute=drifting), method.CASES[3]))
    assert gpu.main([*QUICK, "--parts", "method", "--output", str(tmp_path / "figures.json")]) == 1
    assert "FAILED: method" in capsys.readouterr().out
    first, second = json.loads((tmp_path / "figures.json").read_text())["parts"]["method"]["functions"]
    assert (first["passed"], first["deviation"]) == (False, None)
    assert second["passed"] is True


@pytest.mark.slow
def test_a_part_that_breaks_leaves_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(setting: object) -> dict[str, object]:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(resume, "measure", broken)
    assert gpu.main([*QUICK, "--parts", "resume,method", "--output", str(tmp_path / "figures.json")]) == 1
    assert "FAILED: resume\n" in capsys.readouterr().out
    parts = json.loads((tmp_path / "figures.json").read_text())["parts"]
    assert parts["resume"]["error"] == "RuntimeError: CUDA error: out of memory"
    assert parts["method"]["passed"] is True


@pytest.mark.slow
def test_what_the_time_does_not_do_for_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    assert gpu.main([*QUICK, "--parts", "epochs", "--budget", "0", "--output", str(output)]) == 0
    epochs = json.loads(output.read_text())["parts"]["epochs"]
    assert epochs["rows"] == []
    assert len(epochs["left_out"]) == 4
    assert "left out, as the time would not do: 16 pixels, fp16, audit step" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_how_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    assert "--device cpu --quick" in capsys.readouterr().err


def test_an_unknown_part_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--parts", "method,epoch"])
    assert ended.value.code == 2
    assert "'epoch' is none of method, epochs, resume, compile" in capsys.readouterr().err


def test_states_that_differ_are_told_by_file_and_tensor(tmp_path: Path) -> None:
    for name, value in (("one", 1.0), ("other", 1.5)):
        (tmp_path / name).mkdir()
        for file in STATE_FILES:
            (tmp_path / name / file).write_bytes(b"{}")
        tensors = {"kept": torch.ones(2), "changed": torch.full((3,), value)}
        save_file(tensors, tmp_path / name / STATE_FILES[0])
        save_file({"kept": torch.ones(2)}, tmp_path / name / STATE_FILES[1])
    assert resume._compare(tmp_path / "one", tmp_path / "one")["equal"] is True
    comparison = resume._compare(tmp_path / "one", tmp_path / "other")
    expected = {"equal": False, "files": [STATE_FILES[0]], "tensors": 1, "largest_deviation": 0.5}
    assert comparison == expected
    assert resume._told(comparison) == f"DIFFERS in {STATE_FILES[0]}: 1 tensors, by 0.5 at most"


def test_the_time_of_a_gpu_is_counted_once() -> None:
    kinds = [(DeviceType.CPU, False), (DeviceType.CUDA, False), (DeviceType.CUDA, True)]
    events = [
        SimpleNamespace(device_type=kind, is_user_annotation=annotation, self_device_time_total=10.0**power)
        for power, (kind, annotation) in enumerate(kinds)
    ]
    assert gpu_seconds(events) == 10 / 1e6
