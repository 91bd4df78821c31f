"""``delegate``, ``delegation ls``, ``delegation revoke``, ``key`` and ``token``: what is handed to others."""

from __future__ import annotations

from pathlib import Path

import click

from ziggurat.command import Session, command, group, pass_session, printable
from ziggurat.content import Cid
from ziggurat_storacha.client.bridge import make_token
from ziggurat_storacha.client.delegation import Delegation, archive, plain_car, read_proof, to_text
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.sharing import ABILITIES, revoke, share
from ziggurat_storacha.commands._group import (
    agent_of,
    expires_option,
    moment_text,
    on_tier,
    storacha,
    write_file,
    write_secret,
)

__all__ = ["FORMS", "delegate", "delegation", "key", "show_delegation", "token"]

FORMS = click.Choice(["text", "archive", "car"])
_CAN = click.option(
    "--can", "abilities", multiple=True, metavar="ABILITY", help="What they may do; may be repeated."
)
_SPACE = click.option("--space", "ref", default="", metavar="SPACE", help="Default: the current one.")


def written(delegation: Delegation, form: str) -> bytes:
    """Write a delegation in one of `FORMS`."""
    if form == "text":
        return to_text(delegation).encode()
    return archive(delegation) if form == "archive" else plain_car(delegation)


def show_delegation(session: Session, one: Delegation) -> None:
    """Print a delegation as a record."""
    abilities = [cap.can for cap in one.ucan.capabilities]
    session.record(
        f"{one.cid}  {one.ucan.audience}  {printable(' '.join(abilities))}"
        f"  until {moment_text(one.ucan.expiration)}",
        cid=str(one.cid),
        issuer=one.ucan.issuer,
        audience=one.ucan.audience,
        capabilities=[{"can": cap.can, "with": cap.resource} for cap in one.ucan.capabilities],
        expires=one.ucan.expiration,
        not_before=one.ucan.not_before,
        expired=one.ucan.expired(),
    )


@command(
    "delegate",
    within=storacha,
    examples="""
ziggurat storacha delegate did:key:z6Mk... --output proof.car
ziggurat storacha delegate did:key:z6Mk... --can upload/list --expires 7d
""",
)
@click.argument("audience", metavar="DID")
@_CAN
@_SPACE
@expires_option(default="never", show_default=True)
@click.option("--form", type=FORMS, default=None, help="Default: text on stdout, an archive in a file.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@on_tier
@pass_session
def delegate(
    session: Session, audience: str, abilities: tuple[str, ...], ref: str, expires: int,
    form: str | None, output: Path | None, tier: str,
) -> None:  # fmt: skip
    """Let a key into a space, and hand the delegation over: the official tools read all three forms.

    What they may do by default is what working in a space needs. It is noted, so that 'delegation revoke' can
    take it back.
    """
    if output is None and form in ("archive", "car"):
        raise click.UsageError("bytes go to a file: give --output")
    with agent_of(session, tier) as agent:
        made = share(
            agent,
            audience,
            space=ref,
            abilities=abilities or ABILITIES,
            expiration=expires or None,
            keep=False,
        )
        if output is not None:
            write_file(output, written(made, form or "archive"))
        session.record(
            str(output) if output else to_text(made),
            cid=str(made.cid),
            audience=made.ucan.audience,
            path=str(output) if output else None,
            proof=None if output else to_text(made),
            expires=made.ucan.expiration,
        )


@group(
    "delegation",
    examples="""
ziggurat storacha delegation ls
ziggurat storacha delegation revoke bafy...
""",
)
def delegation() -> None:
    """Look after what was delegated to others."""


storacha.add_command(delegation)


@command("ls", within=delegation, examples="ziggurat storacha delegation ls --json")
@on_tier
@pass_session
def ls(session: Session, tier: str) -> None:
    """List the delegations to others that were made here."""
    with agent_of(session, tier) as agent:
        for one in agent.state.issued():
            show_delegation(session, one)


@command(
    "revoke",
    within=delegation,
    examples="""
ziggurat storacha delegation revoke bafy...
ziggurat storacha delegation revoke bafy... --proof proof.car    one that was not noted here
""",
)
@click.argument("cids", nargs=-1, required=True, metavar="CID...")
@click.option(
    "--proof", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The delegation itself."
)
@on_tier
@pass_session
def revoke_(session: Session, cids: tuple[str, ...], proof: Path | None, tier: str) -> None:
    """Take delegations back: the service then refuses them, and all that rests on them."""
    with agent_of(session, tier) as agent:
        given = [read_proof(proof.read_bytes())] if proof else []
        for text in cids:
            with session.attempt(text):
                revoke(agent, Cid.parse(text), given)
                session.record(f"{text}  revoked", cid=text)


@command(
    "key",
    within=storacha,
    examples="""
ziggurat storacha key                     a new key and its DID
ziggurat storacha key --output ci.key
""",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this new file instead."
)
@pass_session
def key(session: Session, output: Path | None) -> None:
    """Make a private key, for a machine that works without a login; it is kept nowhere else."""
    made = Key.generate()
    if output is not None:
        write_secret(output, f"# {made.did}\n{made.to_text()}\n".encode())
        session.record(f"{made.did}  {output}", did=made.did, path=str(output), key=None)
    else:
        session.record(f"# {made.did}\n{made.to_text()}", did=made.did, path=None, key=made.to_text())


@command(
    "token",
    within=storacha,
    examples="""
ziggurat storacha token --can upload/list --expires 1h
ziggurat storacha token --can store/add --can upload/add --expires 7d
""",
)
@_CAN
@_SPACE
@expires_option(required=True)
@on_tier
@pass_session
def token(session: Session, abilities: tuple[str, ...], ref: str, expires: int, tier: str) -> None:
    """Make a token for the service's HTTP bridge: two headers, for programs that have no key.

    Both are secrets. 'delegation revoke' takes it back.
    """
    if not abilities:
        raise click.UsageError("give --can: what the token's holder may do")
    with agent_of(session, tier) as agent:
        made, held = make_token(agent, abilities, space=ref, expiration=expires or None)
        session.record(
            f"X-Auth-Secret: {made.secret}\nAuthorization: {made.authorization}",
            cid=str(held.cid),
            expires=held.ucan.expiration,
            **made.headers(),
        )
