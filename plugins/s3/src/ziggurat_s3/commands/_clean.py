"""``ziggurat s3 clean``: large blobs that a tier began to send and nobody goes on with."""

from __future__ import annotations

import click

from ziggurat.command import Session, command, one_line, pass_session, plural, printable
from ziggurat.errors import ConfigError

__all__ = ["clean"]


@command(
    "clean",
    examples="""
ziggurat s3 clean                              of every s3 tier of the stack, as its options say
ziggurat s3 clean archive --older-than 3600    of one tier, untouched for an hour
""",
)
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=None,
    metavar="SECONDS",
    help="Since a part of it was last sent; default: abandoned_after of the tier.",
)
@pass_session
def clean(session: Session, tiers: tuple[str, ...], older_than: float | None) -> None:
    """Give up uploads of s3 tiers that broke off, whose parts take room that is paid for.

    A put of the same blob would go on with them. Uploads under way on this machine are left alone; of another
    machine's nobody can tell, so let SECONDS be longer than one part takes. What is no tier's is left to
    'ziggurat s3 uploads rm'.
    """
    found = {one.name: one for one in session.tiers("s3")}
    if not found:
        raise ConfigError("the stack has no s3 tier: see 'ziggurat config show'")
    for name in tiers or found:
        with session.attempt(name):
            if name not in found:
                raise ConfigError(f"no s3 tier is named {one_line(name)!r}: see 'ziggurat config show'")
            tier = found[name]
            age = tier.options.abandoned_after if older_than is None else older_than
            gone = tier.plugin.clean(age)
            for key in gone:
                session.record(f"given up  {printable(key)}", action="given up", tier=name, key=key)
            session.remark(f"{name}: {plural(len(gone), 'upload')} given up")
