"""How commands read their arguments and end: several values after one option, errors as everywhere in this project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from bmix.support import console
from bmix.support.errors import HINT, InputError, nearest

_LONGEST_HELP = 200
"""Characters of a command's first sentence in the list of all."""
_SPREAD = "bmix.spread"
"""Where a context keeps the option whose values the command line ends with: completion goes on with them."""


def spread(arguments: Iterable[str], several: Iterable[str]) -> list[str]:
    """`--set a b` as `--set a --set b`: every value that follows an option of `several` gets the option before it.

    The values of an option end at the next argument that starts with a dash; `-1` is a value.
    """
    names, spelt, option = set(several), list[str](), ""
    for argument in arguments:
        if _is_option(argument):
            name = argument.partition("=")[0]
            option = name if name in names else ""
            spelt.append(argument)
        else:
            spelt += [option, argument] if option and spelt[-1] != option else [argument]
    return spelt


class Command(TyperCommand):
    """A command whose options that may be repeated take several values at once too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; InputError for those that the command does not take."""
        repeated: dict[str, Any] = {
            option: known for known in self.params if getattr(known, "multiple", False) for option in known.opts
        }
        spelt = spread(args, repeated)
        last = next((argument for argument in reversed(args) if _is_option(argument)), "")
        ctx.meta[_SPREAD] = last if last in repeated and args[-1] != last else ""
        with _usage_explained(ctx):
            for argument, following in pairwise([*spelt, "--"]):
                if argument in repeated and _is_option(following) and not ctx.resilient_parsing:
                    raise typer.BadParameter("a value is missing", param=repeated[argument])
            return super().parse_args(ctx, spelt)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What the shell may go on with: another value of the last option, or an option."""
        if not incomplete.startswith("-"):
            for parameter in self.params:
                if ctx.meta[_SPREAD] in parameter.opts:
                    return parameter.shell_complete(ctx, incomplete)
        return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> None:
        """Run the command and leave the process; typer would end Ctrl-C and a closed pipe in its own way."""
        console.run(lambda: super(Command, self).invoke(ctx))

    def main(self, *arguments: Any, **settings: Any) -> None:
        """Read the command line, run the command and leave the process."""
        console.run(lambda: super(Command, self).main(*arguments, **settings))


class Commands(TyperGroup):
    """The commands under one name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments before the command's name; InputError for those that are not taken there."""
        with _usage_explained(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant; InputError if there is none of that name."""
        name, known = args[0], list(self.commands)
        if name not in known and not ctx.resilient_parsing:
            remedy = f"correct it.{nearest(name, known)}"
            raise InputError(ctx.command_path, f"there is no command {name}", f"one of {', '.join(known)}", remedy)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help, by panels."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = str(getattr(command, "rich_help_panel", None) or "Commands")
            panels.setdefault(panel, []).append((name, command.get_short_help_str(_LONGEST_HELP)))
        longest = max(map(len, self.commands))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(longest), text) for name, text in rows])

    def main(self, *arguments: Any, **settings: Any) -> None:
        """Read the command line, run the command and leave the process."""
        console.run(lambda: super(Commands, self).main(*arguments, **settings))


def run_alone(function: Callable[..., int | None], program: str) -> None:
    """Run a program that is one command: `function`, as typer reads its parameters."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Command)(function)
    app(prog_name=program)


def _is_option(argument: str) -> bool:
    return argument.startswith("-") and argument != "-" and not argument[1].isdigit()


@contextmanager
def _usage_explained(ctx: Any) -> Iterator[None]:
    """What typer says of wrong arguments, as the other errors are told; while a shell completes, nothing is said."""
    try:
        yield
    except TyperException as error:
        if ctx.resilient_parsing:
            raise
        raise _explained(error, ctx) from error


def _explained(error: TyperException, ctx: Any) -> InputError:
    where, known = ctx.command_path, {option: one for one in ctx.command.get_params(ctx) for option in one.opts}
    name, parameter = getattr(error, "option_name", ""), getattr(error, "param", None)
    if name and name not in known:
        remedy = f"correct it.{nearest(name, known)}"
        return InputError(where, f"there is no option {name}", f"one of {', '.join(known)}", remedy)
    parameter = known.get(name, parameter)
    if parameter is None:
        found, expected = error.format_message(), "arguments as --help shows them"
    else:
        where, expected = f"{where} {parameter.opts[0]}", f"{parameter.metavar or parameter.opts[0]}, {parameter.help}"
        given = isinstance(error, typer.BadParameter) and error.message
        found = error.message.removeprefix("Value error, ") if given else "a value is missing"
    found, hinted, hint = found.partition(HINT)
    remedy = f"correct it.{hinted}{hint}" if hinted else f"correct it; {ctx.command_path} --help shows all"
    return InputError(where, found.rstrip("."), expected, remedy)
