"""``put`` and ``import``: content into the store."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import click

from ziggurat.cli._args import STANDARD, check_sources, cid_option, total_size
from ziggurat.cli._group import command
from ziggurat.cli._output import printable, size_text
from ziggurat.cli._session import Session, pass_session
from ziggurat.content import Cid
from ziggurat.engine.records import Receipt
from ziggurat.errors import ContentMismatch

__all__ = ["import_command", "put_command"]


def _record(session: Session, receipt: Receipt, path: str) -> None:
    session.record(
        f"{receipt.cid}  {printable(path)}",
        cid=str(receipt.cid),
        path=path,
        size=receipt.size,
        type=receipt.type,
        copies=list(receipt.copies),
    )
    session.remark(f"{size_text(receipt.size)} on {', '.join(receipt.copies)}")


@command(
    "put",
    examples="""
ziggurat put report.pdf photos/        a file and a directory
ziggurat put - < dump.sql              standard input
tar c src | ziggurat put --json -      the output of a program
ziggurat put --expect bafk... a.iso    refuse anything but that content
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="PATH|-...")
@click.option("--expect", metavar="CID", help="Refuse content that is not this CID's; one PATH.")
@pass_session
def put_command(session: Session, sources: tuple[str, ...], expect: str | None) -> None:
    """Store files, directories or standard input ('-'), and print their CIDs.

    Each is kept until 'ziggurat rm'. A line is printed when the copies that the configuration asks for are
    durable. CIDs are those of the configuration's profile; symlinks inside a directory are stored as
    symlinks, hidden files are stored like any other.
    """
    check_sources(sources)
    if expect is not None and len(sources) > 1:
        raise click.UsageError("--expect takes one PATH")
    expected = cid_option(expect)
    for source in sources:
        with session.attempt(source):
            _record(session, _put(session, source, expected), source)


def _put(session: Session, source: str, expect: Cid | None) -> Receipt:
    store = session.store
    if source == STANDARD:
        with session.progress("put -") as progress:
            return store.put(sys.stdin.buffer, expect=expect, progress=progress)
    path = Path(source)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return _put_directory(session, path, expect)
    if not stat.S_ISREG(mode):  # a fifo, as from <(program): read it like standard input
        with path.open("rb") as stream, session.progress(f"put {source}") as progress:
            return store.put(stream, expect=expect, progress=progress)
    with session.progress(f"put {source}", total_size([path])) as progress:
        return store.put(path, expect=expect, progress=progress)


def _put_directory(session: Session, path: Path, expect: Cid | None) -> Receipt:
    store = session.store
    if expect is not None:
        from ziggurat.cli.cid import compute
        from ziggurat.content import profile_by_name

        found = compute(session, str(path), profile_by_name(store.config.profile))
        if found != expect:
            raise ContentMismatch(f"{str(path)!r} is {found}, not {expect}; nothing was stored", cid=expect)
    with session.progress(f"put {path}", total_size([path])) as progress:
        receipt = store.put_dir(path, progress=progress)
    if expect is not None and receipt.cid != expect:
        raise ContentMismatch(
            f"{str(path)!r} changed while it was read: it was stored as {receipt.cid}, not as {expect}; "
            f"'ziggurat rm {receipt.cid}' drops it",
            cid=expect,
        )
    return receipt


@command(
    "import",
    examples="""
ziggurat import backup.car             CARv1 or CARv2
curl -s $GATEWAY | ziggurat import -   standard input
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="FILE.car|-...")
@pass_session
def import_command(session: Session, sources: tuple[str, ...]) -> None:
    """Store what the roots of CAR files name, and print each root.

    Every block is proved. Each root is kept until 'ziggurat rm'.
    """
    check_sources(sources)
    for source in sources:
        with session.attempt(source):
            if source == STANDARD:
                with session.progress("import -") as progress:
                    receipts = session.store.import_car(sys.stdin.buffer, progress=progress)
            else:
                total = total_size([Path(source)])
                with session.progress(f"import {source}", total) as progress:
                    receipts = session.store.import_car(Path(source), progress=progress)
            for receipt in receipts:
                _record(session, receipt, source)
