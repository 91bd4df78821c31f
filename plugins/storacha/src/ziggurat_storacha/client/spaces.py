"""Spaces: made here, paid for by an account, shared by delegation.

A space is a key pair. Who holds its key may do everything with it; everybody else holds a delegation (see
`ziggurat_storacha.client.sharing`). The service learns of a space when an account takes it on
(``provider/add``). Nothing lists the spaces of an account but the delegations to it.
"""

from __future__ import annotations

import time
from typing import Any, Final

from attrs import evolve, field, frozen

from ziggurat.errors import ConfigError, Unsupported
from ziggurat_storacha.client.agent import Agent
from ziggurat_storacha.client.delegation import Delegation
from ziggurat_storacha.client.errors import odd_answer
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.proofs import EVERYTHING
from ziggurat_storacha.client.sharing import ABILITIES, deliver, granted
from ziggurat_storacha.client.state import State, spaces_in

__all__ = [
    "Created",
    "Space",
    "SpaceInfo",
    "allocate",
    "create_space",
    "delete_space",
    "forget_space",
    "list_spaces",
    "provision",
    "recover_space",
    "space_info",
    "use_space",
]

YEAR: Final = 365 * 86400
"""Seconds for which an agent is let into a space that it made or recovered."""


@frozen
class Space:
    """A space that the agent knows.

    Attributes:
        did: The space.
        name: What it is called, "" for nothing.
        current: It is the one that is used when none is named.
        abilities: What the agent may do there now, as its valid delegations say; of an account's, ``*``.
        expires: Unix seconds when the longest of them ends; None for never, or when there are none.
    """

    did: str
    name: str
    current: bool
    abilities: tuple[str, ...]
    expires: int | None


@frozen
class SpaceInfo:
    """What the service knows of a space.

    Attributes:
        did: The space.
        name: What it is called here.
        providers: DIDs of the services that an account has taken it on at; empty when nobody pays for it.
    """

    did: str
    name: str
    providers: tuple[str, ...]


@frozen
class Created:
    """A new space.

    Attributes:
        did: The space.
        name: What it is called.
        key: Its private key: who holds it may do everything with the space, and make it anew on another
            machine (`recover_space`).
        account: DID of the account that pays for it and may recover it, "" for none.
        provisioned: The service takes blobs for it.
    """

    did: str
    name: str
    key: Key = field(repr=False)
    account: str
    provisioned: bool


def create_space(
    agent: Agent, name: str, *, account: str = "", provisioned: bool = True, key: Key | None = None
) -> Created:
    """Make a space, let the agent in, and have an account take it on.

    The agent is let in before the service is asked: if that fails, the space is there, and `provision` does
    the rest.

    Args:
        agent: Who shall work in it.
        name: What it shall be called.
        account: E-mail address or DID of the account, "" for the only one that the agent is logged in with.
        provisioned: Have the account pay for it, and let it recover the space.
        key: Its key, if the caller has kept one safe before; None to make one.

    Raises:
        ConfigError: Not logged in, and `provisioned`.
        TierError: The account could not take it on.
    """
    payer = agent.account(account) if provisioned else ""
    made = key or Key.generate()
    let_in(agent, made, name)
    if payer:
        provision(agent, made.did, payer)
        _deposit(agent, made, name, payer)
    return Created(made.did, name, made, payer, bool(payer))


def let_in(agent: Agent, space: Key, name: str) -> Delegation:
    """Let the agent into a space whose key is at hand, for a year, and note the space."""
    made = granted(space, agent.did, name, ABILITIES, int(time.time()) + YEAR)
    agent.update(
        lambda state: state.with_delegations([made], audience=dict(state.meta)).with_space(space.did, name)
    )
    return made


def _deposit(agent: Agent, space: Key, name: str, account: str) -> None:
    """Let an account into a space for ever, and have the service keep that for it."""
    deliver(agent, space.did, granted(space, account, name, ["*"], None))


def recover_space(agent: Agent, key: Key, name: str = "") -> Space:
    """Let the agent into a space whose key was kept.

    Args:
        agent: Who shall work in it.
        key: The space's private key.
        name: What it shall be called here, "" for what is noted.
    """
    known = agent.state.spaces.get(key.did, {})
    let_in(agent, key, name or str(known.get("name", "")))
    return next(one for one in list_spaces(agent) if one.did == key.did)


def list_spaces(agent: Agent) -> list[Space]:
    """Give the spaces that the agent knows; nobody is asked."""
    state = agent.state
    abilities: dict[str, dict[str, None]] = {did: {} for did in state.spaces}
    ends: dict[str, list[int | None]] = {did: [] for did in state.spaces}
    for one in state.received():
        if one.ucan.expired() or one.ucan.too_early():
            continue
        for did, cans in _abilities(one).items():
            if did in abilities:
                abilities[did].update(dict.fromkeys(cans))
                ends[did].append(one.ucan.expiration)
    return [
        Space(
            did,
            str(noted.get("name", "")),
            did == state.current,
            tuple(abilities[did]),
            None if None in ends[did] else max((end for end in ends[did] if end is not None), default=None),
        )
        for did, noted in state.spaces.items()
    ]


def _abilities(delegation: Delegation) -> dict[str, list[str]]:
    """What a delegation grants in each space that it is about."""
    capabilities = delegation.ucan.capabilities
    passed_on = [cap.can for cap in capabilities if cap.resource == EVERYTHING]
    found = {did: passed_on for did, _ in spaces_in(delegation)}
    for space in {cap.resource for cap in capabilities} & found.keys():
        found[space] = [cap.can for cap in capabilities if cap.resource == space]
    return found


def use_space(agent: Agent, ref: str) -> str:
    """Make a space the one that is used when none is named; gives its DID.

    Raises:
        ConfigError: The agent does not know it.
    """
    did = agent.space(ref)
    if did not in agent.state.spaces:
        raise ConfigError(f"the agent knows no space {did}: add a proof of it first")
    agent.update(lambda state: state.with_space(did, use=True))
    return did


def forget_space(agent: Agent, ref: str) -> str:
    """Forget a space and the delegations that are about it alone; nothing is deleted at the service.

    Returns:
        Its DID.
    """
    did = agent.space(ref)
    about = [
        one.cid for one in agent.state.received() if all(cap.resource == did for cap in one.ucan.capabilities)
    ]

    def forget(state: State) -> State:
        spaces = {name: noted for name, noted in state.spaces.items() if name != did}
        return evolve(
            state.without(*about), spaces=spaces, current="" if state.current == did else state.current
        )

    agent.update(forget)
    return did


def space_info(agent: Agent, ref: str = "") -> SpaceInfo:
    """Ask the service about a space.

    Raises:
        TierError: It could not be asked, or does not let the agent know.
    """
    did = agent.space(ref)
    name = str(agent.state.spaces.get(did, {}).get("name", ""))
    receipt = agent.service.invoke("space/info", did)
    if receipt.failure is not None and receipt.failure.name == "SpaceUnknown":
        return SpaceInfo(did, name, ())
    told = agent.service.ok(receipt, "space/info")
    providers = told.get("providers", []) if isinstance(told, dict) else None
    if not isinstance(providers, list):
        raise odd_answer("space/info")
    return SpaceInfo(did, name, tuple(str(one) for one in providers))


def provision(agent: Agent, ref: str = "", account: str = "") -> bool:
    """Have an account take a space on.

    Args:
        agent: Who is logged in with the account.
        ref: The space.
        account: E-mail address or DID, "" for the only one.

    Returns:
        False if the space was taken on already.

    Raises:
        ConfigError: Not logged in.
        TierError: The account could not take it on.
    """
    space, payer = agent.space(ref), agent.account(account)
    asked = {"provider": agent.service.endpoints.did, "consumer": space}
    receipt = agent.service.invoke("provider/add", payer, asked)
    if receipt.failure is not None and receipt.failure.name == "SpaceAlreadyProvisioned":
        return False
    agent.service.ok(receipt, "provider/add")
    return True


def allocate(agent: Agent, size: int, ref: str = "") -> Any:
    """Ask for room in a space; services of today have no such capability and say what they offer instead.

    Args:
        agent: Who asks.
        size: Bytes.
        ref: The space.

    Raises:
        Unsupported: The service knows no allocation.
        TierError: It refused, or could not be asked.
    """
    return agent.service.call("space/allocate", agent.space(ref), {"size": size})


def delete_space(agent: Agent, ref: str) -> None:
    """Explain that no service deletes a space.

    Raises:
        Unsupported: Always: the protocol has no such capability.
    """
    raise Unsupported(
        f"the service cannot delete the space {agent.space(ref)}: remove its uploads, then"
        " 'ziggurat storacha space forget' makes this machine forget it"
    )
