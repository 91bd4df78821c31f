"""Commands with the common options, and the group that imports a command only when it runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click
from attrs import frozen

from ziggurat.cli._output import output_gone
from ziggurat.cli._session import Session

__all__ = ["Command", "Group", "Lazy", "LazyGroup", "OutputGoneError", "command", "group"]


def _session(ctx: click.Context) -> Session:
    return ctx.ensure_object(Session)


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        _session(ctx).json = True


def _set_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        _session(ctx).config = value


def _set_verbose(ctx: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        session = _session(ctx)
        session.verbose += value
        session.log_to_stderr()


def common_options() -> list[click.Option]:
    """Make the options that every command takes, before its name and after it."""
    return [
        click.Option(
            ["--config"],
            metavar="FILE",
            type=click.Path(readable=False),  # for completion: what it is, the configuration says
            help="Configuration file; otherwise ZIGGURAT_CONFIG, ./ziggurat.toml, the user's file.",
            callback=_set_config,
            expose_value=False,
            is_eager=True,
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            help="Print records and errors as one JSON object a line.",
            callback=_set_json,
            expose_value=False,
            is_eager=True,
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            help="Log to stderr; twice for details.",
            callback=_set_verbose,
            expose_value=False,
            is_eager=True,
        ),
    ]


_HELP = {"help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = _HELP | (kwargs.get("context_settings") or {})
        super().__init__(*args, **kwargs)
        self.params.extend(common_options())


class Group(click.Group):
    """A group whose commands have the common options, and that suggests what may have been meant."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = _HELP | (kwargs.get("context_settings") or {})
        super().__init__(*args, **kwargs)
        self.params.extend(common_options())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that does not exist is answered with the nearest that do."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx))
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise click.UsageError(f"no such command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


Group.group_class = Group


def _epilog(examples: str) -> str:
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return f"\b\nExamples:\n{lines}"


def command(
    name: str, *, examples: str, within: click.Group | None = None, **attrs: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command, the docstring being its help; plugins use it too.

    Args:
        name: What the user types.
        examples: Command lines with remarks, one a line, shown at the end of the help.
        within: The group it belongs to, None for a command of the first level.
        attrs: Passed on to `click.command`.
    """

    def declare(function: Callable[..., Any]) -> click.Command:
        made = click.command(name, cls=Command, epilog=_epilog(examples), **attrs)(function)
        if within is not None:
            within.add_command(made)
        return made

    return declare


def group(name: str, *, examples: str, **attrs: Any) -> Callable[[Callable[..., Any]], Group]:
    """Declare a group of commands; see `command`."""
    return click.group(name, cls=Group, epilog=_epilog(examples), **attrs)


class OutputGoneError(Exception):
    """Nobody reads our stdout any more."""


@frozen
class Lazy:
    """Where a command is, without importing it.

    Attributes:
        section: The heading it is listed under.
        module: The module whose attribute of the command's name (with ``_command`` added) it is.
        help: Its one line in the list.
    """

    section: str
    module: str
    help: str


class LazyGroup(Group):
    """The first level: built-in commands by table, plugin commands by entry-point name, none imported.

    Args:
        lazy: The built-in commands, in the order in which they are listed.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names of all commands."""
        from ziggurat.cli import _plugins

        return [*self._lazy, *(name for name in _plugins.names() if name not in self._lazy)]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command because it is asked for."""
        entry = self._lazy.get(cmd_name)
        if entry is None:
            from ziggurat.cli import _plugins

            return _plugins.load(cmd_name)
        found: click.Command = getattr(import_module(entry.module), f"{cmd_name}_command")
        return found

    def _rows(self) -> dict[str, list[tuple[str, str]]]:
        from ziggurat.cli import _plugins

        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self._lazy.items():
            sections.setdefault(entry.section, []).append((name, entry.help))
        plugins = [(n, f"from {' and '.join(p)}") for n, p in _plugins.names().items() if n not in self._lazy]
        if plugins:
            sections["Commands of plugins"] = plugins
        return sections

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands by section."""
        for section, rows in self._rows().items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete command names without importing commands."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text)
            for rows in self._rows().values()
            for name, text in rows
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; tell a closed stdout from any other broken pipe."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if output_gone():
                raise OutputGoneError from error
            # Without an errno: click would end quietly on any EPIPE, and this one is a failure to report.
            raise ConnectionError("a connection was closed by its other end") from error
