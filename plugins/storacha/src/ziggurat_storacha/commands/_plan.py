"""``plan``: what an account is subscribed to, and which spaces it pays for."""

from __future__ import annotations

import click

from ziggurat.command import Session, command, pass_session, plural, printable, size_text
from ziggurat_storacha.client.accounts import plan, subscriptions
from ziggurat_storacha.client.did import email_of
from ziggurat_storacha.commands._group import agent_of, on_tier, storacha

__all__ = ["plan_"]


@command(
    "plan",
    within=storacha,
    examples="""
ziggurat storacha plan
ziggurat storacha plan ada@example.org
""",
)
@click.argument("emails", nargs=-1, metavar="[EMAIL]...")
@on_tier
@pass_session
def plan_(session: Session, emails: tuple[str, ...], tier: str) -> None:
    """Ask which plan accounts are on, what it allows, and which spaces they pay for.

    Without addresses, all accounts that are logged in. A plan is chosen on the service's own pages.
    """
    with agent_of(session, tier) as agent:
        for account in emails or agent.state.accounts() or ("",):
            with session.attempt(account):
                found = plan(agent, account)
                spaces = [space for one in subscriptions(agent, account) for space in one.spaces]
                limit = f", at most {size_text(found.limit)}" if found.limit is not None else ""
                session.record(
                    f"{email_of(found.account)}  {printable(found.product) or 'no plan'}{limit},"
                    f" {plural(len(spaces), 'space')}",
                    account=found.account,
                    email=email_of(found.account),
                    product=found.product or None,
                    limit=found.limit,
                    spaces=spaces,
                )
