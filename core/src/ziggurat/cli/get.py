"""``get``, ``cat`` and ``export``: content out of the store."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import click

from ziggurat.cli._args import STANDARD, named_path, ref_arguments
from ziggurat.cli._group import command
from ziggurat.cli._output import plural, printable, size_text
from ziggurat.cli._session import Session, pass_session
from ziggurat.errors import RangeError

__all__ = ["cat_command", "export_command", "get_command", "parse_span"]


@command(
    "get",
    examples="""
ziggurat get bafy... -o photos           a file or a directory
ziggurat get bafy.../2024/a.jpg          one file of it, as ./a.jpg
ziggurat get bafk... -o - | tar x        a file to standard output
ziggurat get --force bafy... -o photos   overwrite the files that are there
""",
)
@ref_arguments
@click.option(
    "-o",
    "--output",
    metavar="PATH|-",
    callback=named_path,
    help="Where to; by default the last part of CID[/PATH].",
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@pass_session
def get_command(session: Session, refs: tuple[str, ...], output: str | None, force: bool) -> None:
    """Save files or directories to disk.

    Every byte is proved before it is written. A file, and a directory that is new, appears whole or not at
    all; nothing is overwritten without --force, which leaves other files of a directory alone.
    """
    if output is not None and len(refs) > 1:
        raise click.UsageError("-o takes one CID[/PATH]")
    for ref in refs:
        with session.attempt(ref):
            if output == STANDARD:
                _stream(session, ref, 0, None)
                continue
            target = output or _name(ref)
            with _overwriting(force=force), session.progress(f"get {ref}", _size(session, ref)) as progress:
                saved = session.store.save(ref, Path(target), overwrite=force, progress=progress)
            session.record(
                f"{saved.cid}  {printable(saved.path)}",
                cid=str(saved.cid),
                path=str(saved.path),
                size=saved.size,
                files=saved.files,
            )
            session.remark(f"{size_text(saved.size)} in {plural(saved.files, 'file')}")


@contextmanager
def _overwriting(*, force: bool) -> Iterator[None]:
    """Say in the words of the command line that something is there."""
    try:
        yield
    except FileExistsError as error:
        way = "--force overwrites"
        if force:
            way = "a file and a directory do not replace each other, and nothing replaces a device"
        raise FileExistsError(
            errno.EEXIST, f"is there already; choose another -o ({way})", error.filename
        ) from error


def _name(ref: str) -> str:
    name = PurePosixPath(ref).name
    return name if name not in ("", ".", "..") else ref.partition("/")[0]


def _size(session: Session, ref: str) -> int | None:
    """The total for a bar; asked for only when somebody would see it."""
    return session.store.stat(ref).size if sys.stderr.isatty() else None


Span = tuple[int | None, int | None]


def parse_span(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Span | None:
    """Read a range as in HTTP: ``50-149`` (both included), ``50-`` (to the end), ``-100`` (the last 100).

    Returns:
        (first, last); (None, n) is the last n bytes.
    """
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,18})?-(\d{1,18})?", value, re.ASCII)
    if found is None or not any(found.groups()):
        raise click.BadParameter(f"{value!r} is no range: write 50-149, 50- or -100")
    first, last = (None if text is None else int(text) for text in found.groups())
    if first is not None and last is not None and last < first:
        raise click.BadParameter(f"{value!r} ends before it begins")
    return first, last


@command(
    "cat",
    examples="""
ziggurat cat bafk...                     a file
ziggurat cat bafy.../notes.txt | less    a file in a directory
ziggurat cat --range 50-149 bafk...      100 bytes from offset 50
ziggurat cat --range -100 bafk...        the last 100 bytes
""",
)
@ref_arguments
@click.option("--range", "span", callback=parse_span, metavar="FIRST-LAST", help="As in HTTP, both included.")
@pass_session
def cat_command(session: Session, refs: tuple[str, ...], span: Span | None) -> None:
    """Write the bytes of files to standard output, one after the other.

    Only proved bytes are written. A range reads no more than the blocks that it touches.
    """
    for ref in refs:
        with session.attempt(ref):
            if span is None:
                _stream(session, ref, 0, None)
            else:
                _stream(session, ref, *_resolve(session, ref, span))


def _resolve(session: Session, ref: str, span: Span) -> tuple[int, int]:
    size = session.store.stat(ref).size
    first, last = span
    if size is None:
        raise RangeError(f"the size of {ref} is not known: read it without --range")
    if first is None:
        length = min(last or 0, size)
        return size - length, length
    if first > 0 and first >= size:
        raise RangeError(f"the range begins at {first}, but {ref} has {size} bytes")
    end = size if last is None else min(last + 1, size)
    return first, end - first


def _stream(session: Session, ref: str, offset: int, length: int | None) -> None:
    output = sys.stdout.buffer
    watched = sys.stderr.isatty() and not sys.stdout.isatty()
    total = length if length is not None or not watched else session.store.stat(ref).size
    with session.progress(f"read {ref}", total) as progress:
        for chunk in session.store.stream(ref, offset, length):
            output.write(chunk)
            if watched:
                progress(len(chunk))
    output.flush()


@command(
    "export",
    examples="""
ziggurat export bafy... -o backup.car      a CARv1 that any IPFS tool reads
ziggurat export bafy... | ssh host ...     to standard output
""",
)
@click.argument("ref", metavar="CID[/PATH]")
@click.option(
    "-o",
    "--output",
    metavar="FILE|-",
    default=STANDARD,
    callback=named_path,
    help="Where to; the default is '-'.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@pass_session
def export_command(session: Session, ref: str, output: str, force: bool) -> None:
    """Write a file or a directory, with everything beneath it, as a CARv1.

    The file appears whole or not at all. To standard output, nothing else is printed there.
    """
    store = session.store
    if output == STANDARD:
        stdout = sys.stdout.buffer
        if stdout.isatty():
            raise click.UsageError("a CAR is not for a terminal: give -o FILE, or redirect standard output")
        with session.progress(f"export {ref}") as progress:
            store.export_car(ref, stdout, progress=progress)
        stdout.flush()
        return
    from ziggurat.engine.saver import whole_file

    with _overwriting(force=force), whole_file(Path(output), overwrite=force) as file:
        with session.progress(f"export {ref}") as progress:
            written = store.export_car(ref, file, progress=progress)
        file.flush()
        os.fsync(file.fileno())
    session.record(f"{printable(output)}  {size_text(written)}", path=output, bytes=written, ref=ref)
