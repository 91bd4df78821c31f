"""``ziggurat ipfs pin ls``, ``pin verify`` and ``adopt``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ziggurat.command import (
    Session,
    TierPlugin,
    command,
    group,
    one_line,
    pass_session,
    plural,
    printable,
    size_text,
)
from ziggurat.content import Cid
from ziggurat.errors import BlobNotFound, ConfigError, ZigguratError
from ziggurat_ipfs._backend import Ipfs
from ziggurat_ipfs._pins import Pin

__all__ = ["ipfs"]

_TIER = click.option("--tier", default=None, metavar="NAME", help="Only this tier; default all ipfs tiers.")
_NAME = click.option("--name", default="", metavar="TEXT", help="Only pins whose name contains this.")
_KINDS = ("recursive", "direct", "indirect", "all")


@group(
    "ipfs",
    examples="""
ziggurat ipfs pin ls            what the node pins, and in whose name
ziggurat ipfs adopt --all       take what it pins already into the catalog
""",
)
def ipfs() -> None:
    """Look after the pins of Kubo nodes."""


@click.group("pin")
def pin() -> None:
    """Look at the pins of a node."""


ipfs.add_command(pin)


@command(
    "ls",
    examples="""
ziggurat ipfs pin ls                  every recursive pin, as the node lists it
ziggurat ipfs pin ls --ours           those that this catalog holds
ziggurat ipfs pin ls --kind all       direct and indirect pins too; slow on a large node
""",
)
@_TIER
@_NAME
@click.option("--ours", is_flag=True, help="Only pins in this catalog's name.")
@click.option("--kind", type=click.Choice(_KINDS), default="recursive", show_default=True, help="Which kind.")
@pass_session
def pin_ls(session: Session, tier: str | None, name: str, ours: bool, kind: str) -> None:
    """List pins with their kinds and names, as they come."""
    for one, plugin in _tiers(session, tier):
        with session.attempt(one.name):
            for held in plugin.pins(kind):
                mine = plugin.claims.ours(held)
                if name in held.name and (mine or not ours):
                    text = f"{held.cid}  {held.kind}  {printable(held.name) or '-'}"
                    session.record(
                        f"{text}{'  (ours)' if mine else ''}",
                        cid=held.cid,
                        type=held.kind,
                        name=held.name,
                        ours=mine,
                        tier=one.name,
                    )


@command(
    "verify",
    examples="""
ziggurat ipfs pin verify              read and prove every block of every recursive pin
ziggurat ipfs pin verify bafy...      of one
""",
)
@click.argument("cids", nargs=-1, metavar="[CID]...")
@_TIER
@_NAME
@click.option("--ours", is_flag=True, help="Only pins in this catalog's name.")
@pass_session
def pin_verify(session: Session, cids: tuple[str, ...], tier: str | None, name: str, ours: bool) -> None:
    """Prove what a node pins: every block there, and every byte right. Nothing is searched for."""
    for one, plugin in _tiers(session, tier):
        with session.attempt(one.name):
            for held in _chosen(plugin, cids, name):
                if ours and not plugin.claims.ours(held):
                    continue
                with session.attempt(held.cid):
                    with session.progress(f"proving {held.cid}") as bar:
                        blocks, size = plugin.prove(held.cid, bar)
                    session.record(
                        f"{held.cid}  whole: {plural(blocks, 'block')}, {size_text(size)}",
                        cid=held.cid,
                        blocks=blocks,
                        bytes=size,
                        ok=True,
                        tier=one.name,
                    )


@command(
    "adopt",
    examples="""
ziggurat ipfs adopt bafy...           one root that the node pins
ziggurat ipfs adopt --all             every recursive pin
ziggurat ipfs adopt --name photos     those whose name contains this
""",
)
@click.argument("cids", nargs=-1, metavar="[CID]...")
@click.option("--all", "everything", is_flag=True, help="Every recursive pin of the node.")
@_TIER
@_NAME
@pass_session
def adopt(session: Session, cids: tuple[str, ...], everything: bool, tier: str | None, name: str) -> None:
    """Take what a node pins already into the catalog, after proving it.

    The pins stay as they are: an evict forgets the copy, and leaves a pin that is not ours.
    """
    if not (cids or everything or name):
        raise click.UsageError("give CIDs, --name, or --all")
    for one, plugin in _tiers(session, tier):
        with session.attempt(one.name):
            for held in _chosen(plugin, cids, name):
                with session.attempt(held.cid):
                    receipt = session.store.adopt(held.cid, one.name)
                    session.record(
                        f"{receipt.cid}  adopted {receipt.type} on {one.name}, {size_text(receipt.size)}",
                        cid=str(receipt.cid),
                        size=receipt.size,
                        type=receipt.type,
                        copies=list(receipt.copies),
                        tier=one.name,
                    )


pin.add_command(pin_ls)
pin.add_command(pin_verify)
ipfs.add_command(adopt)


def _tiers(session: Session, name: str | None) -> Iterator[tuple[TierPlugin, Ipfs]]:
    found = [one for one in session.tiers("ipfs") if name in (None, one.name)]
    if not found:
        what = f"no ipfs tier is named {name!r}" if name else "the stack has no ipfs tier"
        raise ConfigError(f"{one_line(what)}: see 'ziggurat config show'")
    for one in found:
        yield one, one.plugin


def _chosen(plugin: Ipfs, cids: tuple[str, ...], name: str) -> Iterator[Pin]:
    """The recursive pins that were named, or all; one that was named and is no pin is an error at the end."""
    wanted: dict[Cid, str] = {Cid.parse(text): text for text in cids}
    missing = dict(wanted)
    for held in plugin.pins():
        try:
            cid = Cid.parse(held.cid)
        except ZigguratError:
            cid = None
        if name in held.name and (not wanted or cid in wanted):
            if cid is not None:
                missing.pop(cid, None)
            yield held
    if missing:
        lacking = ", ".join(missing.values())
        raise BlobNotFound(f"no recursive pin of the node: {lacking}", cid=next(iter(missing)))
