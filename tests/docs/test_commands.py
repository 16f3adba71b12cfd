"""Every command that a page shows is one that the programs take; what costs seconds or needs a network is marked so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from bmix.cli.app import app
from bmix.pipeline.checks import edited_params
from tests.docs.pages import BLOCKS, Block
from tests.helpers.projects import copy_project
from tests.helpers.tiny import REPOSITORY

SHELL = [block for block in BLOCKS if block.language in ("sh", "bash", "console") and not block.not_run]
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.not_run and ">>> " not in block.text]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_command_is_taken_by_its_program(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    commands = block.commands()
    assert commands
    for command in commands:
        words = shlex.split(command)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        assert _take(words), f'no test runs "{command}": say why, <!-- not run: reason --> above the block'


def test_wrong_commands_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    for command in (
        "bmix repro --sett a=1",
        "bmix repro --set methd.epsilon=1",
        "bmix retrain",
        "make reproo",
        "dvc reproo",
        "python -m flows.pipelines",
        "python -m flows.retrain --nightly",
        "python benchmarks/bench.py --bogus",
        "cowsay",
    ):
        with pytest.raises((AssertionError, ValueError, SystemExit, Exception)):
            assert _take(shlex.split(command)), command


def _take(words: list[str]) -> bool:
    """Whether the program is one whose arguments are looked at here; an error for arguments that it does not take."""
    match words:
        case ["bmix", *arguments] | ["python", "-m", "bmix", *arguments]:
            _take_bmix(arguments)
        case ["make", *targets]:
            text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
            for target in targets:
                assert "=" in target or re.search(rf"^{re.escape(target)}:", text, re.MULTILINE), target
        case ["dvc", *arguments]:
            from dvc.cli import parse_args

            parse_args(arguments)
        case ["." | "source", file]:
            assert file == ".venv/bin/activate"
        case ["git", "add" | "diff" | "commit", *_]:
            pass
        case ["pytest", *arguments] | ["python", "-m", "pytest", *arguments]:
            assert all(Path(argument).exists() for argument in arguments if argument.startswith("tests/"))
        case ["python", "-m", module, *arguments]:
            _take_module(Path(*module.split(".")).with_suffix(".py"), arguments)
        case ["python", file, *arguments]:
            _take_module(Path(file), arguments)
        case _:
            return False
    return True


def _take_bmix(arguments: list[str]) -> None:
    """Parse the arguments of the command as it does itself, and its edits as params."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("bmix", list(arguments))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    edits = command.make_context(name, rest, parent=context).params.get("edits")
    edited_params(list(edits or []))


def _take_module(file: Path, arguments: list[str]) -> None:
    """Look up the options of a program that would be slow to import, and read its edits as params."""
    assert file.exists(), f"{file} does not exist"
    text = file.read_text(encoding="utf-8") + "".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "bmix/cli/options.py",)
    )
    for option in (argument for argument in arguments if argument.startswith("--")):
        name = option.removeprefix("--").partition("=")[0].replace("-", "_")
        assert re.search(rf"\b{name}\b|--{name.replace('_', '-')}\b", text), f"{file} has no option {option}"
    if "--set" in arguments:
        given = arguments[arguments.index("--set") + 1 :]
        edited_params([edit for edit in given if "=" in edit])


@pytest.mark.pipeline
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs_after_a_run(
    block: Block, finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy_project(finished_project, tmp_path / "project"))
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Any] = {
        "losses": torch.rand(200, 3, generator=generator).square() + 1e-3,
        "given": (torch.rand(200, 3, generator=generator) < 0.3).long(),
    }
    exec(compile(block.text, str(block), "exec"), given)


def test_reasons_are_sentences() -> None:
    for block in BLOCKS:
        assert not block.not_run or len(block.not_run.split()) > 1, str(block)
