"""``ls``, ``up``, ``down``, ``cp``, ``mv``, ``rm`` and ``mkdir``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ziggurat.command import Session, command, pass_session, printable, size_text
from ziggurat_s3.commands._group import Address, Place, address_argument, asking, printed, time_text

if TYPE_CHECKING:
    from ziggurat_s3.files import FileFailure, FileResult, Listed, S3Files

    FileCallback = Callable[[FileResult | FileFailure], object]

__all__ = ["COMMANDS"]

_RECURSIVE = click.option("-r", "--recursive", is_flag=True, help="A directory, with all that is below.")


@contextmanager
def _each_told() -> Iterator[None]:
    """Leave out the sum of failures that were printed one by one."""
    from ziggurat_s3.files import TransferIncomplete

    try:
        yield
    except TransferIncomplete:
        return


@command(
    "ls",
    examples="""
ziggurat s3 ls s3://vault              what stands at the top of a bucket
ziggurat s3 ls s3://vault/2026         in a directory
ziggurat s3 ls -r --json s3://vault    every object, one JSON object a line
""",
)
@address_argument("address")
@_RECURSIVE
@asking
@pass_session
def ls(session: Session, address: Address, recursive: bool, place: Place) -> None:
    """List a directory, as the service's pages come, or one file."""
    with session.attempt(str(address)):
        for row in _rows(place.files(session), address, recursive):
            when = row.last_modified.strftime("%Y-%m-%d %H:%M") if row.last_modified is not None else ""
            session.record(
                f"{when:16}  {size_text(row.size):>9}  {printable(row.key)}",
                address=row.address,
                bucket=row.bucket,
                key=row.key,
                type=row.type,
                size=row.size,
                e_tag=row.e_tag,
                last_modified=time_text(row.last_modified),
            )


def _rows(files: S3Files, address: Address, recursive: bool) -> Iterator[Listed]:
    """What is in a directory; when there is nothing, the file of that name, or an error."""
    from ziggurat_s3.files import Listed

    found = False
    for row in files.ls_dir(address.bucket, address.key, recursive=recursive):
        found = True
        yield row
    if found or not address.key or any(files.ls_dir(address.bucket, address.key, recursive=True)):
        return  # the last: a directory with nothing in it but its marker
    one = files.get_metadata(address.bucket, address.key)
    yield Listed(one.bucket, one.key, "file", one.size, one.e_tag, one.last_modified, one.storage_class)


@command(
    "up",
    examples="""
ziggurat s3 up report.pdf s3://vault/2026/              as 2026/report.pdf
ziggurat s3 up report.pdf s3://vault/2026/final.pdf     under another name
ziggurat s3 up photos s3://vault/photos                 what is in a folder; what is equal is skipped
tar c src | ziggurat s3 up - s3://vault/src.tar         from standard input
""",
)
@click.argument("path")
@address_argument("address")
@click.option("--content-type", default=None, metavar="TYPE", help="Media type of a file.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="Travels with a file; may be repeated.")
@asking
@pass_session
def up(
    session: Session,
    path: str,
    address: Address,
    content_type: str | None,
    metadata: tuple[str, ...],
    place: Place,
) -> None:
    """Upload a file, or all files of a folder.

    An object appears whole or not at all. To an address with a slash at its end a file goes under its name.
    """
    said = pairs(metadata)
    local = Path(path)
    with session.attempt(path), _each_told():
        files, show = place.files(session), printed(session)
        if path == "-":
            if address.directory:
                raise click.UsageError("standard input has no name: write the whole key")
            with session.progress(f"up {address}") as bar:
                done = files.upload_object(
                    sys.stdin.buffer, address.bucket, address.key, content_type=content_type,
                    metadata=said, progress_callback=bar,
                )  # fmt: skip
            show(done)
        elif local.is_dir():
            if said or content_type:
                raise click.UsageError("--metadata and --content-type are for one file")
            with session.progress(f"up {path}") as bar:
                files.ul_dir(local, address.bucket, address.key, progress_callback=bar, file_callback=show)
        else:
            key = address.key + local.name if address.directory else address.key
            with session.progress(f"up {path}", local.stat().st_size) as bar:
                done = files.ul_file(
                    local, address.bucket, key, content_type=content_type, metadata=said,
                    progress_callback=bar,
                )  # fmt: skip
            show(done)


@command(
    "down",
    examples="""
ziggurat s3 down s3://vault/2026/report.pdf              as ./report.pdf
ziggurat s3 down s3://vault/2026/report.pdf --to r.pdf   under another name
ziggurat s3 down s3://vault/photos/ --to photos          a directory; what is equal is skipped
ziggurat s3 down s3://vault/src.tar --to - | tar x       to standard output
""",
)
@address_argument("address")
@click.option("--to", "path", default=None, metavar="PATH|-", help="Where to; default: its name, here.")
@_RECURSIVE
@asking
@pass_session
def down(session: Session, address: Address, path: str | None, recursive: bool, place: Place) -> None:
    """Download a file, or with -r (or a slash at its end) all files of a directory.

    A file appears whole or not at all, and replaces what is there. No key leads out of the folder.
    """
    name = address.name or address.bucket
    if path == "-" and (recursive or address.directory):
        raise click.UsageError("a directory cannot go to standard output: name a folder")
    if path is None and name in (".", ".."):
        raise click.UsageError("its name is no name for a file: say --to")
    target = Path(path if path is not None else name)
    with session.attempt(str(address)), _each_told():
        files, show = place.files(session), printed(session)
        with session.progress(f"down {address}") as bar:
            if recursive or address.directory:
                files.dl_dir(address.bucket, address.key, target, progress_callback=bar, file_callback=show)
            elif path == "-":
                files.download_object(address.bucket, address.key, sys.stdout.buffer, progress_callback=bar)
                sys.stdout.buffer.flush()
            else:
                if target.is_dir():
                    target /= name
                show(files.dl_file(address.bucket, address.key, target, progress_callback=bar))


@command(
    "cp",
    examples="""
ziggurat s3 cp s3://vault/a.pdf s3://other/2026/         a file, with its metadata
ziggurat s3 cp -r s3://vault/photos s3://other/photos    a directory; what is equal is skipped
""",
)
@address_argument("source")
@address_argument("target")
@_RECURSIVE
@asking
@pass_session
def cp(session: Session, source: Address, target: Address, recursive: bool, place: Place) -> None:
    """Copy a file or a directory within the service, which moves the bytes; each copy is compared."""
    with session.attempt(str(source)), _each_told():
        files, show = place.files(session), printed(session)
        if recursive or source.directory:
            with session.progress(f"copy {source}") as bar:
                files.cp_dir(
                    source.bucket, source.key, target.bucket, target.key,
                    progress_callback=bar, file_callback=show,
                )  # fmt: skip
        else:
            show(files.cp_file(source.bucket, source.key, target.bucket, _key_of(source, target)))


@command(
    "mv",
    examples="""
ziggurat s3 mv s3://vault/a.pdf s3://vault/b.pdf         a file, with its metadata
ziggurat s3 mv -r s3://vault/2025 s3://archive/2025      a directory
""",
)
@address_argument("source")
@address_argument("target")
@_RECURSIVE
@asking
@pass_session
def mv(session: Session, source: Address, target: Address, recursive: bool, place: Place) -> None:
    """Move a file or a directory within the service; each source is deleted when its copy was compared."""
    with session.attempt(str(source)), _each_told():
        files, show = place.files(session), printed(session)
        if recursive or source.directory:
            with session.progress(f"move {source}") as bar:
                files.mv_dir(
                    source.bucket, source.key, target.bucket, target.key,
                    progress_callback=bar, file_callback=show,
                )  # fmt: skip
        else:
            show(files.mv_file(source.bucket, source.key, target.bucket, _key_of(source, target)))


def _key_of(source: Address, target: Address) -> str:
    """Key of what a file becomes: under its name in a directory, else as it was said."""
    return target.key + source.name if target.directory else target.key


@command(
    "rm",
    examples="""
ziggurat s3 rm s3://vault/a.pdf s3://vault/b.pdf
ziggurat s3 rm -r s3://vault/2025        a directory
ziggurat s3 rm -r --all s3://vault       everything in a bucket
""",
)
@address_argument("addresses", many=True)
@_RECURSIVE
@click.option("--all", "everything", is_flag=True, help="With -r, empty a whole bucket.")
@asking
@pass_session
def rm(
    session: Session, addresses: tuple[Address, ...], recursive: bool, everything: bool, place: Place
) -> None:
    """Delete files, or with -r directories."""
    from ziggurat_s3.files import ObjectNotFound

    for address in addresses:
        if not address.key and not (recursive and everything):
            raise click.UsageError(f"{address} is a whole bucket: -r --all empties it")
    for address in addresses:
        with session.attempt(str(address)), _each_told():
            files, show = place.files(session), printed(session)
            if recursive:
                _remove_below(session, files, address, show)
                continue
            gone = files.rm_file(address.bucket, address.key)
            if gone is None:
                raise ObjectNotFound(f"{address}: there is no such object", op="rm_file", key=address.key)
            show(gone)


def _remove_below(session: Session, files: S3Files, address: Address, show: FileCallback) -> None:
    from ziggurat_s3.files import ObjectNotFound

    with session.progress(f"rm {address}"):
        if not address.key:
            files.empty_bucket(address.bucket, file_callback=show)
        elif not files.rm_dir(address.bucket, address.key, file_callback=show).results:
            raise ObjectNotFound(f"{address}: there is no such directory", op="rm_dir", key=address.key)


@command("mkdir", examples="ziggurat s3 mkdir s3://vault/2026    an empty object that stands for a directory")
@address_argument("addresses", many=True)
@asking
@pass_session
def mkdir(session: Session, addresses: tuple[Address, ...], place: Place) -> None:
    """Make directories that are empty; others need no making."""
    for address in addresses:
        with session.attempt(str(address)):
            printed(session)(place.files(session).mk_dir(address.bucket, address.key))


def pairs(given: tuple[str, ...]) -> dict[str, str]:
    """Read NAME=VALUE.

    Raises:
        UsageError: One is something else.
    """
    made: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{one!r} is not NAME=VALUE")
        made[name] = value
    return made


COMMANDS = (ls, up, down, cp, mv, rm, mkdir)
"""What this module adds to the group."""
