"""docs/reference/cli.md names every command, every option and every exit code."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ziggurat.cli._app import COMMANDS as OWN
from ziggurat.cli._app import root
from ziggurat.cli._exit import Exit
from ziggurat.cli._group import common_options

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text("utf-8")
PARTS = [part.partition("\n") for part in re.split(r"^###? ", TEXT, flags=re.MULTILINE)[1:]]
SECTIONS = {heading: text for heading, _, text in PARTS}
COMMON = {name for option in common_options() for name in option.opts} | {"--help", "-h"}


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        if group is root and name not in OWN:
            continue  # a plugin documents its own
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = commands(root)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_are_documented(name: str) -> None:
    section = SECTIONS[name]
    assert f"```text\nziggurat {name}" in section
    real = {
        option
        for param in COMMANDS[name].params
        if isinstance(param, click.Option)
        for option in [*param.opts, *param.secondary_opts]
    } - COMMON
    written = {
        option
        for line in section.splitlines()
        if line.startswith("`-")
        for option in re.findall(r"(?<!\w)--?[a-zA-Z][\w-]*", line)
    }
    assert written == real


def test_no_documented_command_is_missing() -> None:
    headings = set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE))
    assert headings == set(COMMANDS)


def test_common_options_are_documented() -> None:
    section = SECTIONS["Options of every command"]
    written = {option for line in section.splitlines() for option in re.findall(r"`(--?[\w-]+)", line)}
    assert written == COMMON | {"--version"}


def test_exit_codes_are_documented() -> None:
    rows = re.findall(r"^\| (\d+) \|", SECTIONS["Errors and exit codes"], re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in Exit]
