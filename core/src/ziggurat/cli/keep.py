"""``pin``, ``unpin``, ``evict``, ``rm`` and ``gc``: what is kept, and what is freed."""

from __future__ import annotations

import click

from ziggurat.cli._args import ref_arguments, tier_named
from ziggurat.cli._group import command
from ziggurat.cli._output import one_line, plural, printable, size_text
from ziggurat.cli._session import Session, pass_session
from ziggurat.errors import TierDenied, TierError, TierUnavailable

__all__ = ["evict_command", "gc_command", "pin_command", "rm_command", "unpin_command"]


@command(
    "pin",
    examples="""
ziggurat pin bafy...      refuse to remove or evict it
ziggurat pin --list       what is pinned
""",
)
@click.argument("refs", nargs=-1, metavar="CID[/PATH]...")
@click.option("--list", "listing", is_flag=True, help="List the pins.")
@pass_session
def pin_command(session: Session, refs: tuple[str, ...], listing: bool) -> None:
    """Refuse to remove or evict blobs until they are unpinned."""
    if listing == bool(refs):
        raise click.UsageError("give a CID, or --list")
    store = session.store
    for cid in store.pins() if listing else ():
        session.record(f"{cid}", cid=str(cid), pinned=True)
    for ref in refs:
        with session.attempt(ref):
            cid = store.resolve(ref)
            new = store.pin(cid)
            word = "pinned" if new else "was pinned already"
            session.record(f"{word}  {printable(ref)}", ref=ref, cid=str(cid), pinned=True, new=new)


@command("unpin", examples="ziggurat unpin bafy...    allow 'rm' and 'evict' again")
@ref_arguments
@pass_session
def unpin_command(session: Session, refs: tuple[str, ...]) -> None:
    """Take pins away. Nothing is freed by that: see 'rm' and 'gc'."""
    for ref in refs:
        with session.attempt(ref):
            cid = session.store.resolve(ref)
            had = session.store.unpin(cid)
            word = "unpinned" if had else "was not pinned"
            session.record(f"{word}  {printable(ref)}", ref=ref, cid=str(cid), pinned=False, had=had)


@command(
    "evict",
    examples="""
ziggurat evict bafy... --tier ssd       drop its blocks from a cache
ziggurat evict bafy... --tier archive   drop one of several copies
""",
)
@ref_arguments
@click.option("--tier", required=True, metavar="NAME", help="The tier that gives it up.")
@pass_session
def evict_command(session: Session, refs: tuple[str, ...], tier: str) -> None:
    """Give up the copy, or the cached blocks, of blobs on one tier.

    The last store copy of what is kept, and what is pinned, is refused. The blob stays a root: 'rm' drops it.
    """
    tier_named(session, tier)
    for ref in refs:
        with session.attempt(ref):
            done = session.store.evict(ref, tier)
            text = f"gave up {size_text(done.freed)}" if done.had else "nothing there"
            kept = f" ({one_line(done.kept)})" if done.kept else ""
            session.record(
                f"{done.cid}  {tier}: {text}{kept}",
                cid=str(done.cid),
                tier=done.tier,
                had=done.had,
                bytes=done.freed,
                kept=done.kept,
            )


@command(
    "rm",
    examples="""
ziggurat rm bafy...       says what 'gc' would free now
ziggurat gc               frees it
""",
)
@ref_arguments
@pass_session
def rm_command(session: Session, refs: tuple[str, ...]) -> None:
    """Drop roots. Nothing is freed before 'ziggurat gc', and nothing that another root or a pin reaches."""
    for ref in refs:
        with session.attempt(ref):
            gone = session.store.remove(ref)
            session.record(
                f"{gone.cid}  removed; gc would free {plural(gone.blobs, 'blob')}, {size_text(gone.size)}",
                cid=str(gone.cid),
                blobs=gone.blobs,
                bytes=gone.size,
            )


@command(
    "gc",
    examples="""
ziggurat gc --dry-run     what would be freed
ziggurat gc               free it
""",
)
@click.option("--dry-run", is_flag=True, help="Free nothing; say what would be freed.")
@pass_session
def gc_command(session: Session, dry_run: bool) -> None:
    """Free the store copies of blobs that no root and no pin reaches.

    Only what this store put is touched; a medium that several stores use is left alone (exit code 8),
    and so is one that does not answer (exit code 5).
    """
    word = "would free" if dry_run else "freed"
    for tier in session.store.gc(dry_run=dry_run):
        held = f"; {len(tier.kept)} of them the medium holds on for others" if tier.kept else ""
        session.record(
            f"{tier.tier}: {word} {plural(tier.blobs, 'blob')}, {size_text(tier.size)}{held}",
            tier=tier.tier,
            blobs=tier.blobs,
            bytes=tier.size,
            dry_run=dry_run,
            refused=tier.refused,
            failed=list(tier.failed),
            known=tier.known,
            kept=list(tier.kept),
        )
        if tier.refused:
            kind = TierDenied if tier.known else TierUnavailable
            session.fail(kind(tier.refused, tier=tier.tier, op="gc"))
        for problem in tier.failed:
            session.fail(TierError(problem, tier=tier.tier, op="gc"))
