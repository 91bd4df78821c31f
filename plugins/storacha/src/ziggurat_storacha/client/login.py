"""Login by e-mail: ask the service, wait for the click on the link, take what the account grants.

What comes back is one delegation of everything that the account has, ``ucan:*``, and the service's
attestation that the account said so. Each `claim` gives both anew, with all that the account received
meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from attrs import frozen

from ziggurat.content import Cid
from ziggurat.errors import BlobError, MalformedContent, TierDenied, TierError, TierTimeout
from ziggurat_storacha.client.agent import Agent
from ziggurat_storacha.client.delegation import Delegation, read_delegations
from ziggurat_storacha.client.did import account_of, email_of, is_account
from ziggurat_storacha.client.proofs import ATTEST, EVERYTHING, attestations, attests, stated, validate
from ziggurat_storacha.client.state import State

__all__ = ["PATIENCE", "Login", "Waited", "claim", "log_in", "log_out"]

log = logging.getLogger("ziggurat.storacha")

PATIENCE: Final = 900.0
"""Seconds for which the link in the e-mail holds."""

_REQUEST = "access/request"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 3.0


@frozen
class Waited:
    """How a wait for a click goes on, for a progress display.

    Attributes:
        seconds: How long it lasted so far.
        left: Seconds until it is given up.
    """

    seconds: float
    left: float


@frozen
class Login:
    """What a login brought.

    Attributes:
        account: DID of the account.
        email: Its e-mail address.
        agent: DID of the agent that may now act for it.
        spaces: DIDs of the spaces that the agent now reaches.
    """

    account: str
    email: str
    agent: str
    spaces: tuple[str, ...]


def log_in(
    agent: Agent,
    email: str,
    *,
    patience: float = PATIENCE,
    progress: Callable[[Waited], object] | None = None,
    cancel: threading.Event | None = None,
) -> Login:
    """Log in: the service sends an e-mail, and this waits until its link was clicked.

    Args:
        agent: Who shall act for the account.
        email: The account's address.
        patience: Seconds to wait.
        progress: Is called after each look.
        cancel: Ends the wait.

    Raises:
        MalformedContent: Not an e-mail address.
        TierTimeout: No click in time, or the wait was ended; nothing changed. When the service could not be
            asked at the end, its error is raised instead.
        TierDenied: The account is blocked, or what came back is not valid.
        TierError: The service could not be asked.
    """
    account = account_of(email)
    asked = agent.service.call(
        "access/authorize", agent.did, {"iss": account, "att": [{"can": "*"}]}, proofs=()
    )
    request = asked.get("request") if isinstance(asked, dict) else None
    granted = _wait(agent, account, email_of(account), request, patience, progress, cancel)
    state = agent.update(lambda state: _renewed(state, granted))
    return Login(account, email_of(account), agent.did, tuple(state.spaces))


def _wait(
    agent: Agent,
    account: str,
    email: str,
    request: object,
    patience: float,
    progress: Callable[[Waited], object] | None,
    cancel: threading.Event | None,
) -> list[Delegation]:
    started, pause = time.monotonic(), _FIRST_PAUSE
    ended = cancel or threading.Event()
    while not ended.is_set():
        fault = None
        try:
            granted = _granted(agent, account, request, _claimed(agent))
        except TierError as error:
            if not error.retryable:
                raise
            granted, fault = [], error
        if granted:
            return granted
        seconds = time.monotonic() - started
        if seconds >= patience:
            if fault is not None:
                raise fault
            raise TierTimeout(
                f"nobody clicked the link in the e-mail to {email} within {patience:.0f} s: look into its"
                " folder of junk, and log in again"
            )
        if progress is not None:
            progress(Waited(seconds, patience - seconds))
        ended.wait(min(pause, patience - seconds))
        pause = min(1.5 * pause, _LONGEST_PAUSE)
    raise TierTimeout(f"the login of {email} was cancelled before the link was clicked; nothing changed")


def _claimed(agent: Agent) -> list[Delegation]:
    """All delegations that wait for the agent at the service."""
    answer = agent.service.call("access/claim", agent.did, proofs=())
    found = answer.get("delegations") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise MalformedContent("the service answered access/claim without delegations")
    claimed: list[Delegation] = []
    for name, data in found.items():
        try:
            claimed += read_delegations(data) if isinstance(data, bytes) else ()
        except BlobError as error:
            # Anybody may leave something for us there: it must not stand in the way of the rest.
            log.warning("what waits at the service as %.80r is left there: %s", name, error)
    return claimed


def _granted(agent: Agent, account: str, request: object, found: list[Delegation]) -> list[Delegation]:
    """Of what was found, what this login brought: the account's word, and the service's for it.

    Other logins of the same agent may wait there too.
    """
    agent.service.key()
    sessions = [
        one
        for one in found
        if one.ucan.issuer == account and (not isinstance(request, Cid) or _answers(one, request))
    ]
    denied = None
    for session in sessions:
        if any(attests(one, session.cid) for one in found):
            try:
                return [session, *_proved(agent, session, found)]
            except TierDenied as error:
                denied = error
    if denied is not None:
        raise denied
    return []


def _answers(delegation: Delegation, request: Cid) -> bool:
    return any(fact.get(_REQUEST) == request for fact in delegation.ucan.facts)


def _proved(agent: Agent, one: Delegation, beside: list[Delegation]) -> list[Delegation]:
    """Prove all that a delegation says, and give the attestations that it needs, proved too.

    Raises:
        TierDenied: It is not valid.
    """
    authority = agent.service.authority()
    for wanted in stated(one):
        validate(one, wanted, authority=authority, beside=beside, audience=agent.did)
    return attestations(one, beside, authority)


def claim(agent: Agent) -> list[Delegation]:
    """Take what was delegated to the agent, or to its accounts, and is waiting at the service.

    Args:
        agent: Who takes.

    Returns:
        The delegations that are new to the agent, attestations excepted. Those that are not valid are left.

    Raises:
        TierError: The service could not be asked.
    """
    agent.service.key()
    found = _claimed(agent)
    good: list[Delegation] = []
    for one in found:
        if not any(cap.can == ATTEST for cap in one.ucan.capabilities):
            with suppress(TierDenied):
                good += [one, *_proved(agent, one, found)]
    before = set(agent.state.delegations)
    after = agent.update(lambda state: _renewed(state, good))
    return [
        one
        for cid, one in after.delegations.items()
        if cid not in before and not any(cap.can == ATTEST for cap in one.ucan.capabilities)
    ]


def _renewed(state: State, granted: Iterable[Delegation]) -> State:
    """Take delegations in; a new word of an account replaces its earlier ones, which say less."""
    granted = list(granted)
    accounts = {one.ucan.issuer for one in granted if is_account(one.ucan.issuer)}
    new = {one.cid for one in granted}
    old = {
        one.cid
        for one in state.received()
        if one.ucan.issuer in accounts and one.cid not in new and _is_session(one)
    }
    attested = {one.cid for one in state.received() if any(attests(one, cid) for cid in old)}
    return state.without(*old, *attested).with_delegations(granted, audience=dict(state.meta))


def _is_session(delegation: Delegation) -> bool:
    return any(cap.resource == EVERYTHING for cap in delegation.ucan.capabilities)


def log_out(agent: Agent, email: str = "") -> tuple[str, ...]:
    """Forget what accounts granted to the agent; the service is not told, and keys and spaces stay noted.

    Args:
        agent: Who forgets.
        email: Only this account, "" for all.

    Returns:
        The accounts that were forgotten.
    """
    gone: list[str] = []

    def forget(state: State) -> State:
        accounts = {agent.account(email)} if email else set(state.accounts())
        gone[:] = sorted(accounts)
        sessions = {one.cid for one in state.received() if one.ucan.issuer in accounts}
        attested = {one.cid for one in state.received() if any(attests(one, cid) for cid in sessions)}
        return state.without(*sessions, *attested)

    agent.update(forget)
    return tuple(gone)
