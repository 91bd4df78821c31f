"""``cid``: the CIDs that content has, without storing any of it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import click

from ziggurat.cli._args import STANDARD, check_sources, total_size
from ziggurat.cli._group import command
from ziggurat.cli._output import printable
from ziggurat.cli._session import Session, pass_session
from ziggurat.content import (
    PROFILES,
    Cid,
    Profile,
    file_reader,
    import_file,
    import_stream,
    parse_chunker,
    profile_by_name,
)
from ziggurat.content.hashes import HASHES
from ziggurat.content.tree import walk_directory
from ziggurat.errors import UnsupportedContent

__all__ = ["cid_command", "compute"]

_CHUNK = 1 << 20


@command(
    "cid",
    examples="""
ziggurat cid report.pdf photos/     a directory gives its root
ziggurat cid --json photos/         every entry
cat a.iso | ziggurat cid -          standard input
ziggurat cid --profile unixfs-v0-2015 a.iso   Qm..., as 'ipfs add' did
""",
)
@click.argument(
    "sources", nargs=-1, required=True, metavar="PATH|-...", type=click.Path(readable=False, allow_dash=True)
)
@click.option(
    "--profile",
    default=next(iter(PROFILES)),
    show_default=True,
    type=click.Choice(list(PROFILES)),
    help="CID profile (IPIP-0499); the other options change parts of it.",
)
@click.option(
    "--cid-version",
    type=click.IntRange(0, 1),
    help="1 implies --raw-leaves, 0 --no-raw-leaves, unless given.",
)
@click.option("--raw-leaves/--no-raw-leaves", default=None, help="Leaves as raw blocks, or as dag-pb.")
@click.option("--chunker", metavar="size-N", help="Bytes of a leaf.")
@click.option("--max-file-links", type=int, metavar="N", help="Most links of a node of a file.")
@click.option(
    "--hash",
    "hash_name",
    type=click.Choice(list(HASHES)),
    help="Another than sha2-256 implies --cid-version 1.",
)
@click.option("--hamt-threshold", metavar="SIZE", help="A directory above this size is a HAMT: 256KiB.")
@click.option(
    "--hamt-size-estimation",
    type=click.Choice(["block", "links", "disabled"]),
    help="How that size is told; disabled: no HAMTs.",
)
@click.option("--max-hamt-fanout", type=int, metavar="N", help="Places of a shard of a HAMT, a power of two.")
@pass_session
def cid_command(
    session: Session,
    sources: tuple[str, ...],
    profile: str,
    cid_version: int | None,
    raw_leaves: bool | None,
    chunker: str | None,
    max_file_links: int | None,
    hash_name: str | None,
    hamt_threshold: str | None,
    hamt_size_estimation: str | None,
    max_hamt_fanout: int | None,
) -> None:
    """Compute the CIDs of files, directories or standard input ('-').

    Nothing is stored and no configuration is read. The options are named as in 'ipfs add', and give the same
    CIDs; as with its --hidden, hidden files are taken like any other.
    """
    check_sources(sources)
    chosen = _profile(
        profile,
        cid_version,
        raw_leaves,
        chunker,
        max_file_links,
        hash_name,
        hamt_threshold,
        hamt_size_estimation,
        max_hamt_fanout,
    )
    for source in sources:
        with session.attempt(source):
            compute(session, source, chosen, show=True)


def _profile(
    name: str,
    cid_version: int | None,
    raw_leaves: bool | None,
    chunker: str | None,
    max_file_links: int | None,
    hash_name: str | None,
    hamt_threshold: str | None,
    hamt_size_estimation: str | None,
    max_hamt_fanout: int | None,
) -> Profile:
    """Change what the options name in a profile, with what follows from it, as Kubo does."""
    changes: dict[str, Any] = {}
    if hash_name is not None:
        changes["hash_name"] = hash_name
        if hash_name != "sha2-256" and cid_version is None:
            cid_version = 1
    if cid_version is not None:
        changes["cid_version"] = cid_version
        if raw_leaves is None:
            raw_leaves = cid_version == 1
    if raw_leaves is not None:
        changes["raw_leaves"] = raw_leaves
    try:
        if chunker is not None:
            changes["chunk_size"] = parse_chunker(chunker)
        if max_file_links is not None:
            changes["max_links"] = max_file_links
        if hamt_threshold is not None:
            changes["hamt_threshold"] = _size(hamt_threshold)
        if hamt_size_estimation is not None:
            changes["hamt_size_estimation"] = hamt_size_estimation
        if max_hamt_fanout is not None:
            changes["hamt_fanout"] = max_hamt_fanout
        return attrs.evolve(profile_by_name(name), **changes)
    except (UnsupportedContent, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _size(text: str) -> int:
    from ziggurat.config.units import parse_size

    return parse_size(text)


@contextmanager
def _pool() -> Iterator[Executor]:
    """Threads for hashing: hashlib works without the interpreter's lock on anything as large as a leaf."""
    with ThreadPoolExecutor(os.cpu_count() or 1, "ziggurat-hash") as pool:
        yield pool


def compute(session: Session, source: str, profile: Profile, *, show: bool = False) -> Cid:
    """Compute the CID of one input.

    Args:
        session: For progress, and records if `show`.
        source: A path, or "-" for standard input.
        profile: How.
        show: Whether to print the CID, and with ``--json`` every entry of a directory.
    """
    path = Path(source)
    mode = stat.S_IFIFO if source == STANDARD else path.stat().st_mode
    total = None if source == STANDARD or not sys.stderr.isatty() else total_size([path])
    with _pool() as pool, session.progress(f"cid {source}", total) as progress:
        if stat.S_ISDIR(mode):
            for item in walk_directory(path, profile, pool=pool, progress=progress):
                if show and (session.json or not item.path):
                    name = f"{source.rstrip('/')}/{item.path}" if item.path else source
                    _record(session, item.cid, name, item.size, item.type)
            return item.cid
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                dag = import_file(file_reader(file.fileno()), size, profile, pool=pool, progress=progress)
        elif source == STANDARD:
            dag = import_stream(_chunks(sys.stdin.buffer), profile, pool=pool, progress=progress)
        else:  # a fifo, as from <(program)
            with path.open("rb") as file:
                dag = import_stream(_chunks(file), profile, pool=pool, progress=progress)
        if show:
            _record(session, dag.root, source, dag.size, "file")
        return dag.root


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _record(session: Session, cid: Cid, path: str, size: int, kind: str) -> None:
    session.record(f"{cid}  {printable(path)}", cid=str(cid), path=path, size=size, type=kind)
