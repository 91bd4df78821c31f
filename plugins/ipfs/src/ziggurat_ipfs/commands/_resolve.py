"""``ziggurat ipfs resolve``: what a name that can change points to."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ziggurat.command import Session, TierPlugin, command, pass_session, printable
from ziggurat.errors import ConfigError, ZigguratError
from ziggurat_ipfs._names import Resolved

__all__ = ["resolve"]


@command(
    "resolve",
    examples="""
ziggurat ipfs resolve k51...              an IPNS key: proved by its signature
ziggurat ipfs resolve docs.example.org    a DNSLink: the word of the node, or of a gateway
""",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME[/PATH]...")
@click.option("--tier", default=None, metavar="NAME", help="Only this tier; default: nodes, then gateways.")
@pass_session
def resolve(session: Session, names: tuple[str, ...], tier: str | None) -> None:
    """Say which CIDs IPNS and DNSLink names point to now, as the nodes and gateways of this stack know it."""
    tiers = [*session.tiers("ipfs"), *session.tiers("gateway")]
    asked = [one for one in tiers if tier in (None, one.name)]
    if not asked:
        what = f"no ipfs or gateway tier is named {tier!r}" if tier else "no tier of this stack knows names"
        raise ConfigError(f'{what}; add one with backend = "ipfs" or "gateway"')
    for name in names:
        with session.attempt(name):
            found, teller = _first(name, asked)
            life = "" if found.seconds is None else f", for {found.seconds:.0f} s"
            proof = "signed" if found.proved else f"by the word of {found.gateway}"
            session.record(
                f"{printable(found.target)}  ({proof}{life})",
                cid=str(found.cid), path=found.target, name=found.name, seconds=found.seconds,
                proved=found.proved, gateway=found.gateway, tier=teller.name,
            )  # fmt: skip


def _first(name: str, tiers: Sequence[TierPlugin]) -> tuple[Resolved, TierPlugin]:
    """The first answer; else why there is none: rather that a tier could not tell than that it knows none."""
    failures: list[ZigguratError] = []
    for tier in tiers:
        try:
            return tier.plugin.resolve(name), tier
        except ZigguratError as error:
            failures.append(error)
    raise next((one for one in failures if not isinstance(one, LookupError)), failures[0])
