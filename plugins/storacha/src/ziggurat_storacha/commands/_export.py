"""``export``: every upload of a space into another tier of the stack, proved; what somebody leaves with."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ziggurat.command import Session, TierPlugin, command, pass_session, plural
from ziggurat.content import Cid
from ziggurat.errors import BlobNotFound, ConfigError, ZigguratError
from ziggurat_storacha.commands._group import on_tier, storacha
from ziggurat_storacha.commands._uploads import copies_of
from ziggurat_storacha.uploads import Uploads

__all__ = ["export"]


@command(
    "export",
    within=storacha,
    examples="""
ziggurat storacha export --to archive             every upload of the space
ziggurat storacha export --to archive bafy...     one of them
ziggurat storacha export --to archive --json > report.jsonl
""",
)
@click.argument("cids", nargs=-1, metavar="[CID]...")
@click.option("--to", "target", required=True, metavar="TIER", help="The store tier that takes the copies.")
@on_tier
@pass_session
def export(session: Session, cids: tuple[str, ...], target: str, tier: str) -> None:
    """Copy the uploads of the space into another store tier of the stack, every block proved.

    It goes on after what cannot be read, and says so for each: state "copied", "there already" or "failed".
    Run it again to go on where it stopped, and to try again what failed. Nothing is removed from the space.
    """
    source = _source(session, tier)
    if target not in {tier.name for tier in session.store.tiers if tier.config.role == "store"}:
        raise ConfigError(f"the stack has no store tier {target!r}: see 'ziggurat config show'")
    if target == source.name:
        raise ConfigError(f"the uploads are on {target!r} already: give another store tier with --to")
    uploads: Uploads = source.plugin.connection.uploads
    done: dict[str, int] = {"copied": 0, "there already": 0, "failed": 0}
    with session.progress(f"exporting to {target}", counted="uploads") as bar:
        for text in cids:
            state = "failed"
            with session.attempt(text):
                state = _copied(session, _listed(uploads, text), target)
            done[state] += 1
            bar(1)
        for root in () if cids else _roots(uploads):
            done[_copied(session, root, target)] += 1
            bar(1)
    session.remark(
        f"{plural(done['copied'], 'upload')} copied, {done['there already']} there already,"
        f" {done['failed']} failed"
    )


def _source(session: Session, tier: str) -> TierPlugin:
    found = [one for one in session.tiers("storacha") if tier in ("", one.name)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.name for one in found)
        raise ConfigError(f"the stack has several storacha tiers: give --tier, one of {names}")
    what = f"no storacha tier is named {tier!r}" if tier else "the stack has no storacha tier"
    raise ConfigError(f"{what}: see 'ziggurat config show'")


def _roots(uploads: Uploads) -> Iterator[Cid]:
    """The roots that the space lists; a list that breaks off is an error at its place."""
    seen: set[Cid] = set()
    for row in uploads.list():
        if row.root not in seen:
            seen.add(row.root)
            yield row.root


def _listed(uploads: Uploads, text: str) -> Cid:
    cid = Cid.parse(text)
    if uploads.get(cid) is None:
        raise BlobNotFound(f"the space lists no upload of {cid}", cid=cid)
    return cid


def _copied(session: Session, root: Cid, target: str) -> str:
    """Copy one upload, and tell what became of it."""
    state, size = "failed", None
    try:
        if target in copies_of(session, root):
            state = "there already"
        else:
            size = session.store.copy(root, target).size
            state = "copied"
    except (ZigguratError, OSError) as error:
        session.record(
            f"{root}  failed: {error}",
            cid=str(root),
            state=state,
            tier=target,
            size=None,
            error=type(error).__name__,
            message=str(error),
        )
        session.fail(error, path=str(root))
        return state
    session.record(f"{root}  {state}", cid=str(root), state=state, tier=target, size=size)
    return state
