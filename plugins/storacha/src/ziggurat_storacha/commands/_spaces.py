"""``space``: create, list, use, look at, take on, recover, share, forget."""

from __future__ import annotations

from pathlib import Path

import click

from ziggurat.command import Session, command, group, pass_session, printable
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.sharing import ABILITIES, share
from ziggurat_storacha.client.spaces import (
    Space,
    allocate,
    create_space,
    delete_space,
    forget_space,
    list_spaces,
    provision,
    recover_space,
    space_info,
    use_space,
)
from ziggurat_storacha.commands._group import (
    agent_of,
    expires_option,
    moment_text,
    on_tier,
    storacha,
    write_secret,
)

__all__ = ["space"]

_ACCOUNT = click.option(
    "--account", default="", metavar="EMAIL", help="Who pays, when logged in with several accounts."
)


@group(
    "space",
    examples="""
ziggurat storacha space create photos
ziggurat storacha space ls
ziggurat storacha space share bob@example.org
""",
)
def space() -> None:
    """Look after spaces: the places in which a service keeps uploads."""


storacha.add_command(space)


@command(
    "create",
    within=space,
    examples="""
ziggurat storacha space create photos
ziggurat storacha space create photos --key-file photos.key   to recover it without an account
""",
)
@click.argument("name")
@_ACCOUNT
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the space's private key in this new file: who has it can do everything.",
)
@click.option("--no-provision", is_flag=True, help="Nobody pays for it yet, and no account may recover it.")
@on_tier
@pass_session
def create(
    session: Session, name: str, account: str, key_file: Path | None, no_provision: bool, tier: str
) -> None:
    """Make a space, have the account take it on, and let the account recover it.

    The key is written first, so that nothing is lost when the service fails; 'space provision' then does the
    rest.
    """
    with agent_of(session, tier) as agent:
        if not no_provision:
            agent.account(account)
        key = Key.generate()
        if key_file is not None:
            write_secret(key_file, f"# {key.did} {name!a}\n{key.to_text()}\n".encode())
        elif no_provision:
            session.remark("only this machine can use the space: keep a --key-file, or provision it")
        made = create_space(agent, name, account=account, provisioned=not no_provision, key=key)
        session.record(
            f"{made.did}  {printable(made.name)}",
            did=made.did,
            name=made.name,
            account=made.account or None,
            provisioned=made.provisioned,
            key_file=str(key_file) if key_file else None,
        )


@command(
    "ls",
    within=space,
    examples="""
ziggurat storacha space ls
ziggurat storacha space ls --json
""",
)
@on_tier
@pass_session
def ls(session: Session, tier: str) -> None:
    """List the spaces that the agent knows, with what it may do there; nobody is asked.

    A star marks the one that is used when none is named. Those that an account received since the last login
    come with 'proof claim'.
    """
    with agent_of(session, tier) as agent:
        for one in list_spaces(agent):
            _show(session, one)


def _show(session: Session, one: Space) -> None:
    star = "*" if one.current else " "
    ends = f"until {moment_text(one.expires)}" if one.expires else ""
    text = (
        f"{star} {one.did}  {printable(one.name) or '-'}  {' '.join(one.abilities) or 'nothing now'}  {ends}"
    )
    session.record(
        text.rstrip(),
        did=one.did,
        name=one.name,
        current=one.current,
        abilities=list(one.abilities),
        expires=one.expires,
    )


@command("use", within=space, examples="ziggurat storacha space use photos")
@click.argument("ref", metavar="SPACE")
@on_tier
@pass_session
def use(session: Session, ref: str, tier: str) -> None:
    """Make a space, by DID or name, the one that is used when none is named."""
    with agent_of(session, tier) as agent:
        did = use_space(agent, ref)
        session.record(did, did=did, current=True)


@command(
    "info",
    within=space,
    examples="""
ziggurat storacha space info
ziggurat storacha space info photos
""",
)
@click.argument("ref", default="", metavar="[SPACE]")
@on_tier
@pass_session
def info(session: Session, ref: str, tier: str) -> None:
    """Ask the service what it knows of a space."""
    with agent_of(session, tier) as agent:
        found = space_info(agent, ref)
        paid = (
            printable(", ".join(found.providers))
            or "nobody pays for it: see 'ziggurat storacha space provision'"
        )
        session.record(
            f"{found.did}  {printable(found.name) or '-'}  {paid}",
            did=found.did,
            name=found.name,
            providers=list(found.providers),
            provisioned=bool(found.providers),
        )


@command(
    "provision",
    within=space,
    examples="""
ziggurat storacha space provision
ziggurat storacha space provision photos --account ada@example.org
""",
)
@click.argument("ref", default="", metavar="[SPACE]")
@_ACCOUNT
@on_tier
@pass_session
def provision_(session: Session, ref: str, account: str, tier: str) -> None:
    """Have an account take a space on, so that the service keeps uploads in it."""
    with agent_of(session, tier) as agent:
        did, payer = agent.space(ref), agent.account(account)
        new = provision(agent, did, payer)
        session.record(
            f"{did}  {'taken on' if new else 'taken on already'}", did=did, account=payer, changed=new
        )


@command(
    "recover",
    within=space,
    examples="""
ziggurat storacha space recover photos.key
ziggurat storacha space recover photos.key --name photos
""",
)
@click.argument("key_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", default="", help="What it is called here.")
@on_tier
@pass_session
def recover(session: Session, key_file: Path, name: str, tier: str) -> None:
    """Let this machine into a space whose key was kept: its text, or an official tool's 24 words.

    A space that an account may recover needs no key: log in, or run 'proof claim'.
    """
    with agent_of(session, tier, create=True) as agent:
        _show(session, recover_space(agent, Key.load(key_file), name))


@command(
    "share",
    within=space,
    examples="""
ziggurat storacha space share bob@example.org
ziggurat storacha space share did:key:z6Mk... --space photos --can upload/list --expires 7d
""",
)
@click.argument("audience", metavar="EMAIL|DID")
@click.option("--space", "ref", default="", metavar="SPACE", help="Which space; default the current one.")
@click.option(
    "--can",
    "abilities",
    multiple=True,
    metavar="ABILITY",
    help="What they may do; may be repeated. Default: work in it.",
)
@expires_option(default="never", show_default=True)
@on_tier
@pass_session
def share_(
    session: Session, audience: str, ref: str, abilities: tuple[str, ...], expires: int, tier: str
) -> None:
    """Let somebody into a space; the service hands it to them at their next login or claim.

    'ziggurat storacha delegate' hands it over as a file instead.
    """
    with agent_of(session, tier) as agent:
        made = share(
            agent,
            audience,
            space=ref,
            abilities=abilities or ABILITIES,
            expiration=expires or None,
            keep=True,
        )
        session.record(
            f"{made.cid}  {made.ucan.audience}  {' '.join(cap.can for cap in made.ucan.capabilities)}",
            cid=str(made.cid),
            audience=made.ucan.audience,
            space=made.ucan.capabilities[0].resource,
            abilities=[cap.can for cap in made.ucan.capabilities],
            expires=made.ucan.expiration,
        )


@command("allocate", within=space, examples="ziggurat storacha space allocate 1000000000 photos")
@click.argument("size", type=click.IntRange(min=1), metavar="BYTES")
@click.argument("ref", default="", metavar="[SPACE]")
@on_tier
@pass_session
def allocate_(session: Session, size: int, ref: str, tier: str) -> None:
    """Ask the service to set a space's limit; a service without that says what it offers instead."""
    with agent_of(session, tier) as agent:
        allocate(agent, size, ref)
        session.record(f"{agent.space(ref)}  {size} B", did=agent.space(ref), size=size)


@command("forget", within=space, examples="ziggurat storacha space forget photos")
@click.argument("ref", metavar="SPACE")
@on_tier
@pass_session
def forget(session: Session, ref: str, tier: str) -> None:
    """Make this machine forget a space; at the service nothing changes."""
    with agent_of(session, tier) as agent:
        did = forget_space(agent, ref)
        session.record(f"{did}  forgotten", did=did)


@command("rm", within=space, examples="ziggurat storacha space rm photos     says why it cannot")
@click.argument("ref", metavar="SPACE")
@on_tier
@pass_session
def rm(session: Session, ref: str, tier: str) -> None:
    """Say why no service deletes a space, and what to do instead."""
    with agent_of(session, tier) as agent:
        delete_space(agent, ref)
