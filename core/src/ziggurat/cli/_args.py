"""Arguments that several commands share, and what their records have in common."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ziggurat.cli._session import Session
from ziggurat.content import Cid

__all__ = [
    "STANDARD",
    "Total",
    "check_sources",
    "cid_option",
    "named_path",
    "ref_arguments",
    "store_tier_named",
    "tier_named",
    "total_size",
]

STANDARD = "-"
"""The argument that stands for standard input or output."""

Total = Callable[[Path], int]


def ref_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Take one or more blobs: a CID each, or a CID and a path beneath it."""
    return click.argument("refs", nargs=-1, required=True, metavar="CID[/PATH]...")(function)


def cid_option(text: str | None) -> Cid | None:
    """Parse the CID that an option gives.

    Raises:
        InvalidCid: It is none.
    """
    return None if text is None else Cid.parse(text)


def named_path(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty path: an unset variable, which must not become some other place.

    Raises:
        click.BadParameter: It is empty.
    """
    if value == "":
        raise click.BadParameter("an empty path names nothing")
    return value


def check_sources(sources: Sequence[str]) -> None:
    """Refuse inputs that cannot be meant.

    Raises:
        click.UsageError: Standard input is given twice, or a path is empty: an unset variable, which must not
            become the current directory.
    """
    if sources.count(STANDARD) > 1:
        raise click.UsageError("standard input can be read only once: give '-' once")
    if "" in sources:
        raise click.UsageError("an empty path names nothing; write '.' for the current directory")


def tier_named(session: Session, name: str) -> str:
    """Check the name of a tier against the configured ones.

    Raises:
        click.BadParameter: There is no such tier; the message names those there are.
    """
    names = [tier.name for tier in session.store.config.tiers]
    if name not in names:
        raise click.BadParameter(f"no tier {name!r}; the stack has {', '.join(names)}", param_hint="'--tier'")
    return name


def store_tier_named(session: Session, name: str) -> str:
    """Check the name of a store tier against the configured ones.

    Raises:
        click.BadParameter: There is no such tier, or it is a cache or a source.
    """
    tier_named(session, name)
    stores = [tier.name for tier in session.store.config.tiers if tier.role == "store"]
    if name not in stores:
        text = (
            f"{name!r} is no store, and only stores keep copies; the stack has {', '.join(stores) or 'none'}"
        )
        raise click.BadParameter(text, param_hint="'--tier'")
    return name


def total_size(paths: Sequence[Path]) -> int | None:
    """Sum the bytes of files and of everything beneath directories, for a progress bar.

    Returns:
        None if something has no size or cannot be looked at; the real pass will say so.
    """
    total = 0
    todo = list(paths)
    try:
        for path in paths:
            mode = path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return None
            if stat.S_ISREG(mode):
                total += path.stat().st_size
                todo.remove(path)
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None
    return total
