from __future__ import annotations

import importlib
import runpy
import sys
import tomllib
from collections.abc import Callable

import pytest

import bmix
from bmix.cli.app import PANELS
from bmix.cli.command import spread
from bmix.cli.labels import LABELS
from bmix.cli.models import MODELS
from tests.helpers.tiny import REPOSITORY


def command_name(function: Callable[..., int | None]) -> str:
    """As it is typed."""
    return function.__name__.replace("_", "-")


COMMANDS = [command_name(function) for functions in PANELS.values() for function in functions]
OF_LABELS = [f"labels {function.__name__}" for function in LABELS]
OF_MODELS = [f"models {name}" for name in MODELS]
Answer = Callable[..., tuple[int, str]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    """What `bmix ARGUMENTS` ends with, and all that it prints."""
    from bmix.cli.app import app

    def ask(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["bmix", *arguments])
        with pytest.raises(SystemExit) as ended:
            app(prog_name="bmix")
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out + shown.err

    return ask


def test_help_shows_every_command_below_its_panel(answer: Answer) -> None:
    status, shown = answer("--help")
    assert status == 0
    for panel, functions in PANELS.items():
        lines = shown.partition(f"\n{panel}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in lines.splitlines() if line[2] != " "] == [
            command_name(function) for function in functions
        ]


@pytest.mark.parametrize("command", [*COMMANDS, *OF_LABELS, *OF_MODELS])
def test_every_command_shows_an_example(command: str, answer: Answer) -> None:
    status, shown = answer(*command.split(), "--help")
    assert status == 0
    assert f"Usage: bmix {command} [OPTIONS]" in shown
    assert f"Example: bmix {command}" in shown


@pytest.mark.parametrize("group", ["", "labels", "models"])
def test_without_a_command_the_help_is_shown(group: str, answer: Answer) -> None:
    status, shown = answer(*group.split())
    assert status == 2
    assert f"Usage: bmix {group} [OPTIONS] COMMAND".replace("  ", " ") in shown
    commands = {"": ["labels", "models", *COMMANDS], "labels": OF_LABELS, "models": OF_MODELS}
    for command in commands[group]:
        assert f"\n  {command.split()[-1]} " in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rpro"], 'bmix: there is no command rpro\n  expected: one of repro, .*Did you mean "repro"'),
        (["repro", "--sett", "a=1"], 'bmix repro: there is no option --sett\n  expected: .*Did you mean "--set"'),
        (["labels", "worts"], 'bmix labels: there is no command worts\n  expected: one of .*Did you mean "worst"'),
        (["--versio"], 'bmix: there is no option --versio\n.*Did you mean "--version"'),
        (["repro", "--set"], "bmix repro --set: a value is missing\n  expected: KEY=VALUE"),
        (["repro", "--set", "--set", "a=1"], "bmix repro --set: a value is missing"),
        (["compare", "--recipes", "mixup", "asx"], '--recipes: asx is none of them\n.*Did you mean "asl"'),
        (["compare", "--seeds", "0", "-1"], "--seeds: -1 is not a whole number from 0 on"),
        (["embed"], "bmix embed --output: a value is missing"),
        (["embed", "--output", "x.npz", "--views", "-1"], "--views: -1 is not a whole number from 0 on"),
        (["embed", "--output", "x.npz", "--image-size", "8"], "8 is not a whole number from 16 to 2048"),
        (["embed", "--output", "x.npz", "--augment", "gentl"], 'gentl is none of them\n.*Did you mean "gentle"'),
        (["repro", "extra"], "bmix repro: Got unexpected extra argument"),
    ],
)
def test_wrong_arguments_name_what_was_meant(arguments: list[str], told: str, answer: Answer) -> None:
    status, shown = answer(*arguments)
    assert status == 2
    flat = shown.replace("\n.*", "\n")
    for part in told.split(".*"):
        assert part in flat
    assert shown.startswith("error: bmix")


def test_several_values_may_follow_one_option() -> None:
    assert spread(["--set", "a=1", "b=2", "--jobs", "2", "--set", "c"], ["--set"]) == [
        *("--set", "a=1", "--set", "b=2"),
        *("--jobs", "2", "--set", "c"),
    ]
    assert spread(["--seeds", "0", "-1", "--x", "y"], ["--seeds"]) == ["--seeds", "0", "--seeds", "-1", "--x", "y"]
    assert spread(["--set=a=1", "b=2"], ["--set"]) == ["--set=a=1", "--set", "b=2"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("bmix re", {"repro"}),
        ("bmix compare --recipes bala", {"balancemix", "balanced-mixup"}),
        ("bmix compare --recipes bce bala", {"balancemix", "balanced-mixup"}),
        ("bmix repro --set training.epo", {"training.epochs="}),
        ("bmix repro --set paper-v", {"paper-voc"}),
        ("bmix embed --augment phot", {"photograph"}),
        ("bmix compare --see", {"--seeds"}),
    ],
)
def test_the_shell_is_told_how_to_go_on(
    typed: str, offered: set[str], monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("_BMIX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    status, shown = answer()
    assert status == 0
    assert set(shown.split()) == offered


def test_the_version_stands_in_one_place(answer: Answer) -> None:
    assert answer("--version") == (0, f"bmix {bmix.__version__}\n")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bmix.__version__"}
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {bmix.__version__}\n" in citation


def test_types_are_shipped_with_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = [
        path
        for pattern in project["tool"]["setuptools"]["package-data"]["bmix"]
        for path in (REPOSITORY / "bmix").glob(pattern)
    ]
    assert REPOSITORY / "bmix" / "py.typed" in shipped


def test_the_installed_command_and_the_module_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, name = scripts["bmix"].partition(":")
    called: list[str] = []
    monkeypatch.setattr(importlib.import_module(module), name, lambda: called.append("main"))
    runpy.run_module("bmix", run_name="__main__")
    assert called == ["main"]
