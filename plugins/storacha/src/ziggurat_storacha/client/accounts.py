"""Accounts: the plan they are on, the spaces they pay for, and how much those hold."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from ziggurat_storacha.client.agent import Agent
from ziggurat_storacha.client.errors import odd_answer

__all__ = ["Plan", "Subscription", "Usage", "plan", "subscriptions", "usage"]


@frozen
class Plan:
    """What an account is subscribed to.

    Attributes:
        account: DID of the account.
        product: DID or name of the plan, "" when none was chosen.
        limit: Bytes that it allows, None when the service does not say.
        updated: When it was chosen, as the service writes it; "" when it does not say.
    """

    account: str
    product: str
    limit: int | None
    updated: str


@frozen
class Subscription:
    """One provider, and the spaces that an account pays for there.

    Attributes:
        account: DID of the account.
        provider: DID of the service.
        spaces: DIDs of the spaces.
    """

    account: str
    provider: str
    spaces: tuple[str, ...]


@frozen
class Usage:
    """How much a space held over a period.

    Attributes:
        space: DID of the space.
        provider: DID of the service that reports.
        since: Begin of the period, Unix seconds.
        until: End of the period, Unix seconds.
        initial: Bytes at the begin.
        final: Bytes at the end.
        changes: Number of changes in between.
    """

    space: str
    provider: str
    since: int
    until: int
    initial: int
    final: int
    changes: int


def plan(agent: Agent, account: str = "") -> Plan:
    """Ask which plan an account is on.

    Args:
        agent: Who is logged in with it.
        account: E-mail address or DID, "" for the only one.

    Raises:
        ConfigError: Not logged in.
        TierError: The service could not be asked.
    """
    did = agent.account(account)
    receipt = agent.service.invoke("plan/get", did)
    if receipt.failure is not None and receipt.failure.name == "PlanNotFound":
        return Plan(did, "", None, "")
    told = _table(agent.service.ok(receipt, "plan/get"), "plan/get")
    limit = told.get("limit")
    if isinstance(limit, str) and re.fullmatch(r"[0-9]{1,20}", limit):
        limit = int(limit)
    size = limit if type(limit) is int else None
    return Plan(did, str(told.get("product", "")), size, str(told.get("updatedAt", "")))


def subscriptions(agent: Agent, account: str = "") -> list[Subscription]:
    """Ask which spaces an account pays for.

    Args:
        agent: Who is logged in with it.
        account: E-mail address or DID, "" for the only one.

    Raises:
        ConfigError: Not logged in.
        TierError: The service could not be asked.
    """
    did = agent.account(account)
    told = _table(agent.service.call("subscription/list", did), "subscription/list")
    results = told.get("results")
    if not isinstance(results, list):
        raise odd_answer("subscription/list")
    return [
        Subscription(
            did,
            str(one.get("provider", "")),
            tuple(str(space) for space in one["consumers"]),
        )
        for one in results
        if isinstance(one, Mapping) and isinstance(one.get("consumers"), list)
    ]


def usage(agent: Agent, space: str = "", since: int | None = None, until: int | None = None) -> list[Usage]:
    """Ask how much a space held over a period, once for each provider.

    Args:
        agent: Who may know.
        space: The space, "" for the current one.
        since: Begin, Unix seconds; None for thirty days before the end.
        until: End, Unix seconds; None for now.

    Raises:
        TierError: The service could not be asked, or nobody pays for the space.
    """
    did = agent.space(space)
    end = int(time.time()) if until is None else until
    begin = end - 30 * 86400 if since is None else since
    asked = {"period": {"from": begin, "to": end}}
    told = _table(agent.service.call("usage/report", did, asked), "usage/report")
    return list(_usages(told, did, begin, end))


def _usages(told: Mapping[str, Any], space: str, begin: int, end: int) -> Iterator[Usage]:
    for provider, report in told.items():
        size = report.get("size") if isinstance(report, Mapping) else None
        if not isinstance(size, Mapping):
            raise odd_answer("usage/report")
        initial, final, events = size.get("initial", 0), size.get("final", 0), report.get("events")
        if type(initial) is not int or type(final) is not int:
            raise odd_answer("usage/report")
        yield Usage(
            space,
            str(provider),
            begin,
            end,
            initial,
            final,
            len(events) if isinstance(events, list) else 0,
        )


def _table(value: Any, can: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise odd_answer(can)
    return value
