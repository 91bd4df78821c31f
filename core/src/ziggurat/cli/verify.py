"""``verify``: prove the copies that the store has."""

from __future__ import annotations

import click

from ziggurat.cli._args import store_tier_named
from ziggurat.cli._exit import Exit
from ziggurat.cli._group import command
from ziggurat.cli._output import one_line
from ziggurat.cli._session import Session, pass_session

__all__ = ["verify_command"]


@command(
    "verify",
    examples="""
ziggurat verify                      every copy on every store tier
ziggurat verify bafy...              the copies of one blob
ziggurat verify --tier archive       one tier
""",
)
@click.argument("refs", nargs=-1, metavar="[CID[/PATH]]...")
@click.option("--tier", metavar="NAME", help="Read the copies of this tier only.")
@pass_session
def verify_command(session: Session, refs: tuple[str, ...], tier: str | None) -> None:
    """Read copies and prove every byte; nothing is changed.

    Prints each copy: 'ok', 'wrong' (exit code 6), or 'unknown' when the tier could not answer (exit code 5).
    """
    if tier is not None:
        store_tier_named(session, tier)
    for ref in refs or (None,):
        with session.attempt(ref or ""), session.progress(f"verify {ref or 'everything'}") as progress:
            for found in session.store.verify(ref, tier=tier, progress=progress):
                word = "ok" if found.ok else "wrong" if found.known else "unknown"
                problem = f": {one_line(found.problem)}" if found.problem else ""
                session.record(
                    f"{word:<7}  {found.tier}  {found.cid}{problem}",
                    cid=str(found.cid),
                    tier=found.tier,
                    size=found.size,
                    ok=found.ok,
                    known=found.known,
                    problem=found.problem,
                )
                if not found.ok:
                    session.ends_with(Exit.WRONG if found.known else Exit.UNKNOWN)
