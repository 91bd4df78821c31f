"""Delegations between people: letting somebody in, taking that back, taking in what one was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ziggurat.content import Cid
from ziggurat.errors import ConfigError, TierDenied
from ziggurat_storacha.client.agent import Agent
from ziggurat_storacha.client.delegation import Delegation, delegate
from ziggurat_storacha.client.did import account_of, is_account, parse_did
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.proofs import rests_on_service, stated, validate
from ziggurat_storacha.client.ucan import Capability

__all__ = ["ABILITIES", "add_proof", "deliver", "entitling", "granted", "revoke", "share"]

ABILITIES: Final = (
    "assert/*",
    "space/*",
    "blob/*",
    "index/*",
    "store/*",
    "upload/*",
    "access/*",
    "filecoin/*",
    "usage/*",
)
"""What an agent needs to work in a space, as the official tools grant it."""


def granted(
    space: Key, audience: str, name: str, abilities: Sequence[str], expiration: int | None
) -> Delegation:
    """Sign, with a space's own key, what lets somebody into it.

    Args:
        space: The space's key.
        audience: DID of who is let in.
        name: What the space is called.
        abilities: What they may do.
        expiration: Unix seconds, None for never.
    """
    facts = [{"space": {"name": name, "access": {"type": "public"}}}]
    granted = [Capability(can, space.did) for can in abilities]
    return delegate(space, audience, granted, expiration=expiration, facts=facts)


def deliver(agent: Agent, space: str, made: Delegation) -> None:
    """Have the service keep a delegation for whom it is made out to.

    Args:
        agent: Who asks; it must be in the space.
        space: DID of the space.
        made: The delegation.

    Raises:
        TierError: It did not.
    """
    capability = Capability("access/delegate", space, {"delegations": {str(made.cid): made.cid}})
    chosen = agent.service.proofs.choose(capability, agent.did, agent.service.authority())
    agent.service.call(capability.can, space, capability.nb, proofs=[*chosen, made])


def entitling(agent: Agent, space: str, abilities: Sequence[str]) -> list[Delegation]:
    """Give the delegations, each once, that let an agent hand abilities on.

    Raises:
        TierDenied: The agent has not all of them itself.
    """
    proofs: dict[Cid, Delegation] = {}
    for can in abilities:
        wanted = Capability(can, space)
        chosen = agent.service.proofs.choose(wanted, agent.did, agent.service.authority())
        proofs.update((one.cid, one) for one in chosen)
    return list(proofs.values())


def share(
    agent: Agent,
    audience: str,
    *,
    space: str = "",
    abilities: Sequence[str] = ABILITIES,
    expiration: int | None = None,
    keep: bool | None = None,
) -> Delegation:
    """Let somebody else into a space.

    Args:
        agent: Who may let others in.
        audience: DID, or the e-mail address of an account.
        space: The space, "" for the current one.
        abilities: What they may do.
        expiration: Unix seconds, None for never, or as long as the agent may itself.
        keep: Have the service keep the delegation until it is claimed; None for accounts only. Otherwise
            hand it over as text (`to_text`) or archive.

    Raises:
        TierDenied: The agent may not do all that itself.
        MalformedContent: Nobody's DID or address, or no ability.
        TierError: It could not be delivered.
    """
    did = agent.space(space)
    who = account_of(audience) if "@" in audience else parse_did(audience)
    name = str(agent.state.spaces.get(did, {}).get("name", ""))
    made = delegate(
        agent.service.agent,
        who,
        [Capability(can, did) for can in abilities],
        expiration=expiration,
        proofs=entitling(agent, did, abilities),
        facts=[{"space": {"name": name, "access": {"type": "public"}}}],
    )
    # Noted first: what may have been handed out must be revocable.
    agent.update(lambda state: state.with_delegations([made], audience={"name": audience, "type": "device"}))
    if is_account(who) if keep is None else keep:
        deliver(agent, did, made)
    return made


def revoke(agent: Agent, cid: Cid, proofs: Sequence[Delegation] = ()) -> None:
    """Take a delegation back: the service then refuses it, and all that rests on it.

    Args:
        agent: Who issued it, or somebody in its chain.
        cid: Which delegation.
        proofs: The delegation itself, where the agent has not noted it.

    Raises:
        ConfigError: The delegation is not at hand: the service wants to see it.
        TierError: The service did not take it back.
    """
    found = next((one for one in [*agent.state.delegations.values(), *proofs] if one.cid == cid), None)
    if found is None:
        raise ConfigError(f"the delegation {cid} is not at hand: give its archive or text with it")
    agent.service.call("ucan/revoke", agent.did, {"ucan": cid}, proofs=[found])
    agent.update(lambda state: state.without(cid))


def add_proof(agent: Agent, proof: Delegation) -> list[str]:
    """Take in a delegation that somebody handed over.

    Args:
        agent: Who it is made out to.
        proof: The delegation.

    Returns:
        DIDs of the spaces that it is about.

    Raises:
        ConfigError: It is made out to somebody else, is not valid now, or is not what its chain allows.
        TierError: Only the service's word proves it, and the service could not be asked for its key.
    """
    if rests_on_service(proof):
        agent.service.key()
    authority, beside = agent.service.authority(), list(agent.service.proofs)
    try:
        for cap in stated(proof):
            validate(proof, cap, authority=authority, beside=beside, audience=agent.did)
    except TierDenied as error:
        raise ConfigError(f"this proof is of no use: {error.message}") from error
    before = set(agent.state.spaces)
    state = agent.update(lambda state: state.with_delegations([proof], audience=dict(state.meta)))
    about = [cap.resource for cap in proof.ucan.capabilities if cap.resource in state.spaces]
    if not before and about:
        agent.update(lambda state: state.with_space(about[0]))
    return list(dict.fromkeys(about))
