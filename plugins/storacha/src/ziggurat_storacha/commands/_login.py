"""``login``, ``logout``, ``whoami`` and ``import``."""

from __future__ import annotations

from pathlib import Path

import click

from ziggurat.command import Session, command, pass_session, plural
from ziggurat.errors import ConfigError
from ziggurat_storacha.client.did import email_of
from ziggurat_storacha.client.login import PATIENCE, Waited, log_in, log_out
from ziggurat_storacha.client.state import State
from ziggurat_storacha.client.statefile import StateFile, official_paths
from ziggurat_storacha.commands._group import agent_of, on_tier, options_for, storacha

__all__ = ["import_", "login", "logout", "whoami"]


@command(
    "login",
    within=storacha,
    examples="""
ziggurat storacha login ada@example.org
ziggurat storacha login ada@example.org --wait 60
""",
)
@click.argument("email")
@click.option(
    "--wait", type=click.IntRange(0, 86400), default=int(PATIENCE), show_default=True, metavar="SECONDS",
    help="How long to wait for the click; Ctrl-C ends it too.",
)  # fmt: skip
@on_tier
@pass_session
def login(session: Session, email: str, wait: int, tier: str) -> None:
    """Log in with an account: click the link in the e-mail that the service sends.

    A key is made first if there is none. What the account may do, this machine's agent then may too; nothing
    is changed when the wait ends without a click.
    """
    with agent_of(session, tier, create=True) as agent:
        session.remark(f"click the link in the e-mail to {email}")
        done = 0
        with session.progress(f"waiting for {email}", wait, counted="seconds") as bar:

            def watch(waited: Waited) -> None:
                nonlocal done
                bar(int(waited.seconds) - done)
                done = int(waited.seconds)

            made = log_in(agent, email, patience=wait, progress=watch)
        session.record(
            f"{made.email}  logged in, {plural(len(made.spaces), 'space')} known",
            account=made.account, email=made.email, agent=made.agent, spaces=list(made.spaces),
        )  # fmt: skip


@command(
    "logout",
    within=storacha,
    examples="""
ziggurat storacha logout
ziggurat storacha logout ada@example.org
""",
)
@click.argument("email", default="")
@on_tier
@pass_session
def logout(session: Session, email: str, tier: str) -> None:
    """Forget what accounts granted to this machine's agent; its key and its own spaces stay."""
    with agent_of(session, tier) as agent:
        for account in log_out(agent, email):
            session.record(f"{email_of(account)}  logged out", account=account, email=email_of(account))


@command(
    "whoami",
    within=storacha,
    examples="""
ziggurat storacha whoami
ziggurat storacha whoami --json
""",
)
@on_tier
@pass_session
def whoami(session: Session, tier: str) -> None:
    """Say who this machine's agent is, and which accounts it is logged in with. Nobody is asked."""
    with agent_of(session, tier) as agent:
        emails = [email_of(account) for account in agent.state.accounts()]
        known = ", ".join(emails) or "not logged in"
        session.record(
            f"{agent.did}  {known}",
            agent=agent.did,
            accounts=list(agent.state.accounts()),
            emails=emails,
            space=agent.state.current or None,
            state=str(agent.file.path) if agent.file else None,
            service=agent.service.endpoints.did or None,
        )


@command(
    "import",
    within=storacha,
    examples="""
ziggurat storacha import                                       what the official tool keeps
ziggurat storacha import ~/.config/w3access/storacha-cli.json
""",
)
@click.argument("file", default="", type=click.Path(dir_okay=False))
@on_tier
@pass_session
def import_(session: Session, file: str, tier: str) -> None:
    """Take over agent, delegations and spaces that an official tool keeps; its file stays as it is.

    The option 'state' of a tier, or STORACHA_STATE, may name that very file instead: both then work in it.
    """
    path = Path(file) if file else next(iter(official_paths()), None)
    if path is None:
        raise ConfigError("no official tool keeps anything here: name the file, such as storacha-cli.json")
    found = StateFile(path).load()
    if found is None:
        raise ConfigError(f"there is no file {path}")
    target = StateFile(options_for(session, tier).state)

    def take(known: State | None) -> State:
        if known is not None and known.key.did != found.key.did:
            raise ConfigError(
                f"{target.path} has another agent already, {known.key.did}: move it away, or set the option"
                f" state to {path}"
            )
        if known is None:
            return found
        return known.with_delegations(found.delegations.values())

    state = target.update(take)
    session.record(
        f"{state.key.did}  {plural(len(state.delegations), 'delegation')},"
        f" {plural(len(state.spaces), 'space')}",
        agent=state.key.did,
        delegations=len(state.delegations),
        spaces=list(state.spaces),
        state=str(target.path),
    )
