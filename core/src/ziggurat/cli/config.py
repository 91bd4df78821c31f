"""``config``: check, show, describe and start the configuration."""

from __future__ import annotations

import json
import os
from pathlib import Path

import attrs
import click

from ziggurat.cli._args import STANDARD, named_path
from ziggurat.cli._group import command, group
from ziggurat.cli._output import plural, print_text, printable, size_text, table
from ziggurat.cli._session import Session, pass_session

__all__ = ["check_command", "config_command", "init_command", "schema_command", "show_command"]


@group(
    "config",
    examples="""
ziggurat config init      write a commented ziggurat.toml to start from
ziggurat config check     is it right, and what does it promise?
""",
)
def config_command() -> None:
    """Check, show, describe or start the configuration.

    The first of these is used: --config, the file that ZIGGURAT_CONFIG names, ./ziggurat.toml, the user's
    file, a packaged default (memory as a cache over a disk store in the user's data folder).
    """


@command(
    "check",
    within=config_command,
    examples="""
ziggurat config check
ziggurat --config new.toml config check    before putting it in place
""",
)
@pass_session
def check_command(session: Session) -> None:
    """Check the configuration, and print the stack and what it promises.

    All problems are reported at once (exit code 3). Nothing is opened or connected to.
    """
    from ziggurat.config import describe, find, load, promises

    source = find(session.config, os.environ)
    stack = load(source)
    tiers, words = describe(stack), promises(stack)
    rows = [
        (
            tier.tier,
            tier.role,
            tier.backend,
            f"{tier.distribution} {tier.version}",
            "no limit" if tier.capacity is None else f"at most {size_text(tier.capacity)}",
            ", ".join(_abilities(tier)),
        )
        for tier in tiers
    ]
    head = f"{source.label} is right: {plural(len(tiers), 'tier')}, hottest first"
    place = f"  catalog and spool in {stack.path}"
    session.record(
        "\n".join(
            [
                printable(head),
                *(f"  {row}" for row in table(rows)),
                printable(place),
                "",
                *map(printable, words),
            ]
        ),
        store=str(stack.path),
        path=None if source.packaged else str(source.path),
        origin=source.origin,
        tiers=[attrs.asdict(tier) for tier in tiers],
        promises=list(words),
    )


_ABILITIES = ("ranges", "volatile", "local", "public", "durable")


def _abilities(tier: object) -> list[str]:
    form = getattr(tier, "form", "")
    return [f"{form} form", *(name for name in _ABILITIES if getattr(tier, name))]


@command(
    "show",
    within=config_command,
    examples="""
ziggurat config show             every value that is in force
ziggurat config show --origin    and which line, variable or default decided
""",
)
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@pass_session
def show_command(session: Session, origin: bool) -> None:
    """Print every value that is in force. Secrets are masked."""
    from ziggurat.config import find, show

    settings = show(find(session.config, os.environ))
    rows = [(each.key, each.value or "-", *((each.origin,) if origin else ())) for each in settings]
    for text, each in zip(table(rows), settings, strict=True):
        more = {"origin": each.origin} if origin else {}
        session.record(text, key=each.key, value=each.value or None, **more)


@command(
    "schema",
    within=config_command,
    examples="""
ziggurat config schema > ziggurat.schema.json    for an editor
""",
)
@pass_session
def schema_command(session: Session) -> None:
    """Print the JSON Schema of a configuration file, with the options of every installed backend.

    No configuration is read.
    """
    from ziggurat.config import schema

    found = schema()
    session.record(json.dumps(found, indent=2), **found)


@command(
    "init",
    within=config_command,
    examples="""
ziggurat config init                 writes ./ziggurat.toml
ziggurat config init ~/vault.toml    another file
ziggurat config init -               to standard output
""",
)
@click.argument(
    "file",
    default="ziggurat.toml",
    type=click.Path(allow_dash=True),
    callback=named_path,
    metavar="[FILE|-]",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@pass_session
def init_command(session: Session, file: str, force: bool) -> None:
    """Write a commented configuration to start from."""
    from ziggurat.config import starter

    text = starter()
    if file == STANDARD:
        print_text(text.rstrip("\n"))
        return
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise FileExistsError(17, "the file is there already; --force overwrites it", file) from None
    session.record(f"wrote {printable(file)}", path=file)
    session.remark(f"next: edit it, then 'ziggurat --config {printable(file)} config check'")
