"""``proof``: what was delegated to us."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ziggurat.command import Session, command, group, pass_session, printable
from ziggurat.content import Cid
from ziggurat.errors import ConfigError
from ziggurat_storacha.client.delegation import Delegation, read_proof
from ziggurat_storacha.client.login import claim
from ziggurat_storacha.client.proofs import ATTEST, rests_on_service, stated, validate
from ziggurat_storacha.client.sharing import add_proof
from ziggurat_storacha.commands._delegations import FORMS, show_delegation, written
from ziggurat_storacha.commands._group import agent_of, on_tier, storacha, write_file

__all__ = ["proof"]


@group(
    "proof",
    examples="""
ziggurat storacha proof add proof.car
ziggurat storacha proof claim          what waits for us at the service
ziggurat storacha proof ls
""",
)
def proof() -> None:
    """Look after proofs: the delegations that entitle us."""


storacha.add_command(proof)


def _read(file: str) -> Delegation:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    return read_proof(data)


@command(
    "add",
    within=proof,
    examples="""
ziggurat storacha proof add proof.car
ziggurat storacha proof add - < proof.txt
""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@on_tier
@pass_session
def add(session: Session, files: tuple[str, ...], tier: str) -> None:
    """Take in delegations to us: archives, CARs, or texts; - reads one from stdin.

    Each is proved first. The spaces that it is about are then known here.
    """
    with agent_of(session, tier, create=True) as agent:
        for file in files:
            with session.attempt(file):
                found = _read(file)
                spaces = add_proof(agent, found)
                session.record(
                    f"{found.cid}  {' '.join(spaces)}".rstrip(),
                    cid=str(found.cid),
                    spaces=spaces,
                    expires=found.ucan.expiration,
                )


@command("ls", within=proof, examples="ziggurat storacha proof ls --json")
@on_tier
@pass_session
def ls(session: Session, tier: str) -> None:
    """List the delegations to this machine's agent."""
    with agent_of(session, tier) as agent:
        for one in agent.state.received():
            if all(cap.can != ATTEST for cap in one.ucan.capabilities):
                show_delegation(session, one)


@command("claim", within=proof, examples="ziggurat storacha proof claim")
@on_tier
@pass_session
def claim_(session: Session, tier: str) -> None:
    """Take what others shared with our key or our accounts, and what waits for it at the service."""
    with agent_of(session, tier) as agent:
        for one in claim(agent):
            show_delegation(session, one)


@command(
    "show",
    within=proof,
    examples="""
ziggurat storacha proof show proof.car     is it valid, and what does it grant?
""",
)
@click.argument("file", metavar="FILE")
@on_tier
@pass_session
def show(session: Session, file: str, tier: str) -> None:
    """Say what a delegation grants, and prove each grant; the exit code is 8 when one does not hold."""
    found = _read(file)
    with agent_of(session, tier, create=True) as agent:
        show_delegation(session, found)
        if rests_on_service(found):
            agent.service.key()
        authority, beside = agent.service.authority(), list(agent.service.proofs)
        for cap, wanted in zip(found.ucan.capabilities, stated(found), strict=True):
            with session.attempt(printable(cap.can)):
                chain = validate(found, wanted, authority=authority, beside=beside)
                session.record(
                    printable(f"{cap.can}  {cap.resource}  holds, through {len(chain)}"),
                    can=cap.can,
                    resource=cap.resource,
                    ok=True,
                    chain=[str(one.cid) for one in chain],
                )


@command(
    "export",
    within=proof,
    examples="""
ziggurat storacha proof export bafy... --output proof.car
ziggurat storacha proof export bafy... --form text --output proof.txt
""",
)
@click.argument("cid")
@click.option("--form", type=FORMS, default="archive", show_default=True, help="How it is written.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Write it to this file."
)
@on_tier
@pass_session
def export(session: Session, cid: str, form: str, output: Path, tier: str) -> None:
    """Write a delegation that is noted here to a file, as other tools read it."""
    with agent_of(session, tier) as agent:
        found = agent.state.delegations.get(Cid.parse(cid))
        if found is None:
            raise ConfigError(f"no delegation {cid} is noted: see 'proof ls' and 'delegation ls'")
        write_file(output, written(found, form))
        session.record(str(output), cid=str(found.cid), path=str(output), form=form)
