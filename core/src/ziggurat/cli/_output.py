"""What a command prints: records on stdout, errors and remarks on stderr.

Text is for people: one record a line, control characters escaped. With ``--json`` each record and each error
is one object a line, its keys stable; a later version may add keys, never drop or rename them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from ziggurat.errors import ConfigError, StoreError, TierError, ZigguratError

__all__ = [
    "describe",
    "one_line",
    "output_gone",
    "plural",
    "print_error",
    "print_json",
    "print_text",
    "printable",
    "size_text",
    "table",
]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size_text(size: int | None) -> str:
    """Write a number of bytes for a person: ``1.5 MB`` is 1 500 000 bytes, ``-`` is unknown."""
    if size is None:
        return "-"
    if size < 1000:
        return f"{size} B"
    number, unit = float(size), 0
    while number >= 999.95 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.1f} {_UNITS[unit]}"


def plural(count: int, noun: str) -> str:
    """Write ``1 blob``, ``2 blobs``."""
    return f"{count} {noun}{'s' * (count != 1)}"


def printable(text: object) -> str:
    """Escape what would move a terminal's cursor, hide text or fail to encode: a name is data."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def one_line(text: object) -> str:
    """Give a message as one printable line."""
    return printable("; ".join(line.strip() for line in str(text).splitlines() if line.strip()))


def table(rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Align columns with two spaces between them; nothing is cut to the terminal's width.

    Args:
        rows: Cells, the same number in each row.
        right: Indices of the columns that are aligned to the right.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def describe(error: BaseException, **more: object) -> dict[str, Any]:
    """Give the object that ``--json`` prints for an error.

    Args:
        error: Any exception.
        more: Further keys, such as `path`; those that are None or "" are left out.

    Returns:
        `error` (the name of its class), `message`, `tier`, `op`, `cid` (None where they do not apply) and
        `retryable`; `problems` of a `ConfigError`, `failures` of a `StoreError`, and `more`.
    """
    record: dict[str, Any] = {
        "error": type(error).__name__,
        "message": one_line(_message(error)),
        "tier": None,
        "op": None,
        "cid": getattr(error, "cid", None) or None,
        "retryable": False,
    }
    if isinstance(error, TierError):
        record |= {"tier": error.tier or None, "op": error.op or None, "retryable": error.retryable}
        record["cid"] = _cid_of(error.key)
    elif isinstance(error, StoreError):
        record["failures"] = [describe(failure) for failure in error.failures]
        record["retryable"] = any(failure["retryable"] for failure in record["failures"])
    elif isinstance(error, ConfigError) and error.problems:
        record["problems"] = [printable(problem) for problem in error.problems]
    return record | {key: value for key, value in more.items() if value not in (None, "")}


def _cid_of(key: str) -> str | None:
    """The CID that a key of ours begins with, None for any other name that a plugin's error is about."""
    from ziggurat.content import Cid

    text = key.partition(".")[0]
    try:
        Cid.parse(text)
    except ZigguratError:
        return None
    return text


def _message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, ZigguratError):
        return error.message or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename!r}" if error.filename is not None else ""
        return f"{error.strerror.lower()}{where}"
    return str(error) or type(error).__name__


def _error_text(error: BaseException) -> str:
    if isinstance(error, ZigguratError) and str(error):
        return str(error)
    return _message(error)


def print_json(values: Mapping[str, Any], *, err: bool = False) -> None:
    """Write one object as one line. ASCII, so that it is valid whatever the locale and the names."""
    click.echo(json.dumps(values, default=str, separators=(",", ":")), err=err)


def print_text(line: str) -> None:
    """Write one line for people to stdout."""
    click.echo(line)


def print_error(error: BaseException, *, as_json: bool, path: str = "") -> None:
    """Write one error to stderr: one line, or one object; a configuration's problems each on its own line.

    Args:
        error: Any exception.
        as_json: Whether ``--json`` was asked for.
        path: The input it is about, if one of several.
    """
    try:
        if as_json:
            print_json(describe(error, path=path), err=True)
            return
        prefix = click.style("error:", fg="red", bold=True)
        problems = error.problems if isinstance(error, ConfigError) else ()
        for text in map(one_line, problems or [_error_text(error)]):
            where = f" {printable(path)}:" if path and printable(path) not in text else ""
            click.echo(f"{prefix}{where} {text}", err=True)
        sys.stderr.flush()
    except OSError:  # nobody reads stderr any more; the exit code still tells
        return


def output_gone() -> bool:
    """Tell whether the reader of our stdout has gone away."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLERR)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False
