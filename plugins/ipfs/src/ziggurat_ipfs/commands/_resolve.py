"""``ziggurat ipfs resolve``: what a name that can change points to."""

from __future__ import annotations

import click

from ziggurat.command import Session, command, pass_session
from ziggurat.errors import ConfigError

__all__ = ["resolve"]


@command(
    "resolve",
    examples="""
ziggurat ipfs resolve k51...              an IPNS key: proved by its signature
ziggurat ipfs resolve docs.example.org    a DNSLink: the gateway's word
""",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME[/PATH]...")
@pass_session
def resolve(session: Session, names: tuple[str, ...]) -> None:
    """Say which CIDs IPNS and DNSLink names point to now, as the gateways of this stack know it."""
    tiers = session.tiers("gateway")
    if not tiers:
        raise ConfigError('no tier of this stack has gateways; add one with backend = "gateway"')
    for name in names:
        with session.attempt(name):
            found = tiers[0].plugin.resolve(name)
            life = "" if found.seconds is None else f", for {found.seconds:.0f} s"
            proof = "signed" if found.proved else f"by the word of {found.gateway}"
            session.record(
                f"{found.target}  ({proof}{life})",
                cid=str(found.cid), path=found.target, name=found.name, seconds=found.seconds,
                proved=found.proved, gateway=found.gateway, tier=tiers[0].name,
            )  # fmt: skip
