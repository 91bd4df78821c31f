"""``up``, ``ls``, ``rm`` and ``usage``: the uploads of a space."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from ziggurat.backend import Timeouts
from ziggurat.command import Session, command, pass_session, plural, printable, size_text
from ziggurat.content import Cid
from ziggurat.errors import BlobNotFound
from ziggurat_storacha._backend import KEPT
from ziggurat_storacha._connect import Connection, open_space
from ziggurat_storacha.client.accounts import usage
from ziggurat_storacha.commands._group import moment_text, on_tier, options_for, storacha
from ziggurat_storacha.uploads import UploadRow, Uploads, shard_digest
from ziggurat_storacha.uploads.batch import Sent, Source, upload_many

__all__ = ["copies_of", "ls", "rm", "up", "usage_"]

_STANDARD = "-"
_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


def _unix(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp())


@contextmanager
def _space(session: Session, tier: str) -> Iterator[Connection]:
    """What talks to the space that is meant; works without a stack."""
    with tempfile.TemporaryDirectory(prefix="ziggurat-storacha-") as spool:
        here = open_space(options_for(session, tier), Timeouts(), Path(spool))
        try:
            yield here
        finally:
            here.close()


@command(
    "up",
    within=storacha,
    examples="""
ziggurat storacha up report.pdf photos/     a file and a directory
ziggurat storacha up - < dump.sql           standard input
ziggurat storacha up --car archive.car      a ready CAR, byte for byte
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="PATH|-...")
@click.option("--car", is_flag=True, help="The sources are CARs: each is stored as it is, as one shard.")
@click.option("--root", metavar="CID", help="Under which root to list a CAR that names none or several.")
@on_tier
@pass_session
def up(session: Session, sources: tuple[str, ...], car: bool, root: str | None, tier: str) -> None:
    """Upload files, directories or standard input ('-') into the space, and print their CIDs.

    Several are under way at a time. What arrived of an upload that broke off is not sent again. The stack's
    catalog does not learn of them; 'ziggurat put' stores through the stack.
    """
    if root is not None and not (car and len(sources) == 1):
        raise click.UsageError("--root takes one CAR")
    with _space(session, tier) as here:
        if car:
            for source in sources:
                with session.attempt(source):
                    _up_car(session, here.uploads, source, None if root is None else Cid.parse(root))
            return
        found = [sys.stdin.buffer if one == _STANDARD else Path(one) for one in sources]
        with session.progress(f"uploading {plural(len(sources), 'source')}") as bar:
            given: Iterator[Source] = iter(found)
            answers = upload_many(
                here.uploads, given, spool=here.spool, parallel=here.options.parallel, progress=bar
            )
            for source, answer in zip(sources, answers, strict=True):
                with session.attempt(source):
                    if not isinstance(answer, Sent):
                        raise answer
                    _record(session, here, source, answer)


def _record(session: Session, here: Connection, source: str, sent: Sent) -> None:
    session.record(
        f"{sent.cid}  {printable(source)}",
        cid=str(sent.cid),
        path=source,
        size=sent.size,
        type=sent.type,
        space=here.uploads.space,
        shards=len(sent.upload.made),
        stored=sent.upload.stored,
        sent=sent.upload.sent,
    )


def _up_car(session: Session, uploads: Uploads, source: str, root: Cid | None) -> None:
    data = sys.stdin.buffer.read() if source == _STANDARD else Path(source).read_bytes()
    done = uploads.add_car(data, root=root)
    session.record(
        f"{done.root}  {printable(source)}",
        cid=str(done.root),
        path=source,
        size=None,
        type="car",
        space=uploads.space,
        shards=len(done.made),
        stored=done.stored,
        sent=done.sent,
    )


@command(
    "ls",
    within=storacha,
    examples="""
ziggurat storacha ls                 every upload of the space
ziggurat storacha ls bafy...         one of them, with its shards
""",
)
@click.argument("cids", nargs=-1, metavar="[CID]...")
@click.option(
    "--page", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Uploads a request."
)
@on_tier
@pass_session
def ls(session: Session, cids: tuple[str, ...], page: int, tier: str) -> None:
    """List the uploads of the space as they come, the newest first; with CIDs, their shards and bytes."""
    with _space(session, tier) as here:
        if not cids:
            for row in here.uploads.list(page):
                session.record(
                    f"{row.root}  {plural(len(row.shards), 'shard')}  {row.inserted or '-'}",
                    **_listed(row),
                )
            return
        for text in cids:
            with session.attempt(text):
                _describe(session, here.uploads, Cid.parse(text))


def _listed(row: UploadRow) -> dict[str, object]:
    return {
        "cid": str(row.root),
        "shards": [str(shard) for shard in row.shards],
        "created": row.inserted or None,
        "updated": row.updated or None,
    }


def _describe(session: Session, uploads: Uploads, cid: Cid) -> None:
    row = uploads.get(cid)
    if row is None:
        raise BlobNotFound(f"the space lists no upload of {cid}", cid=cid)
    sizes = uploads.blobs.sizes([shard_digest(shard) for shard in row.shards])
    for shard, size in zip(row.shards, sizes, strict=True):
        session.record(
            f"{row.root}  {shard}  {'not in the space' if size is None else size_text(size)}",
            cid=str(row.root),
            shard=str(shard),
            stored=size,
            created=row.inserted or None,
            updated=row.updated or None,
        )
    if not row.shards:
        session.record(f"{row.root}  no shards", cid=str(row.root), shard=None, stored=0)


@command(
    "rm",
    within=storacha,
    examples="""
ziggurat storacha rm bafy...
""",
)
@click.argument("cids", nargs=-1, required=True, metavar="CID...")
@on_tier
@pass_session
def rm(session: Session, cids: tuple[str, ...], tier: str) -> None:
    """Remove uploads from the space, with their shards that no other upload uses, and their indexes.

    A copy that the stack counts on is given up as 'ziggurat evict' does it: the last one, and what a pin
    keeps, is refused.
    """
    for text in cids:
        with session.attempt(text):
            cid = Cid.parse(text)
            holder = _holder(session, tier, cid)
            if holder:
                _evict(session, cid, holder)
            else:
                _remove(session, cid, tier)


def _holder(session: Session, tier: str, cid: Cid) -> str:
    """The tier of the stack whose catalogued copy this is, "" for none."""
    names = [name for name, _ in session.configured("storacha") if tier in ("", name)]
    if not names:
        return ""
    return next((name for name in names if name in copies_of(session, cid)), "")


def copies_of(session: Session, cid: Cid) -> set[str]:
    """Names of the tiers whose copies of a blob the stack counts on.

    Raises:
        StoreUnavailable: It cannot be told.
    """
    try:
        return {copy.tier for copy in session.store.stat(cid).copies}
    except BlobNotFound:
        return set()


def _evict(session: Session, cid: Cid, tier: str) -> None:
    gone = session.store.evict(cid, tier)
    session.record(
        f"{cid}  removed from {tier} ({gone.kept})" if gone.had else f"{cid}  was not there",
        cid=str(cid),
        tier=tier,
        removed=gone.had,
        bytes=gone.freed,
        shared=None,
        kept=gone.kept,
    )


def _remove(session: Session, cid: Cid, tier: str) -> None:
    with _space(session, tier) as here:
        row = here.uploads.get(cid)
        names = here.index_names(cid) if row is not None else []
        removed = here.uploads.remove(cid, names) if row is not None else None
        if removed is None:
            raise BlobNotFound(f"the space lists no upload of {cid}", cid=cid)
        shared = f", {plural(removed.shared, 'shard')} of other uploads stay" if removed.shared else ""
        session.record(
            f"{cid}  removed: {size_text(removed.freed)} freed{shared} ({KEPT})",
            cid=str(cid),
            removed=True,
            bytes=removed.freed,
            shared=removed.shared,
            kept=KEPT,
        )


@command(
    "usage",
    within=storacha,
    examples="""
ziggurat storacha usage                      the last thirty days
ziggurat storacha usage --since 2026-01-01
""",
)
@click.option("--since", type=_DATE, help="Begin, in UTC; default thirty days before the end.")
@click.option("--until", type=_DATE, help="End, in UTC; default now.")
@on_tier
@pass_session
def usage_(session: Session, since: datetime | None, until: datetime | None, tier: str) -> None:
    """Report how much the space held over a period, as the service counts it."""
    with _space(session, tier) as here:
        for one in usage(here.agent, here.uploads.space, _unix(since), _unix(until)):
            session.record(
                f"{one.space}  {size_text(one.final)} at the end, {size_text(one.initial)} at the begin,"
                f" {plural(one.changes, 'change')} from {moment_text(one.since)} to {moment_text(one.until)}",
                space=one.space,
                provider=one.provider,
                since=one.since,
                until=one.until,
                initial=one.initial,
                final=one.final,
                changes=one.changes,
            )
