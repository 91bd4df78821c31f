"""An agent: its state, its connection to a service, and the space that it works in."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import evolve

from ziggurat.backend import Timeouts
from ziggurat.errors import ConfigError, MalformedContent, ZigguratError
from ziggurat_storacha._options import StorachaOptions
from ziggurat_storacha.client.delegation import Delegation, from_text
from ziggurat_storacha.client.did import account_of, parse_did
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.pace import Pace
from ziggurat_storacha.client.proofs import Proofs
from ziggurat_storacha.client.service import Endpoints, Service
from ziggurat_storacha.client.state import State
from ziggurat_storacha.client.statefile import StateFile, default_path
from ziggurat_storacha.client.transport import Transport

__all__ = ["ENVIRONMENT", "Agent", "connect", "options_of"]

ENVIRONMENT: Mapping[str, str] = {
    "service_url": "STORACHA_SERVICE_URL",
    "service_did": "STORACHA_SERVICE_DID",
    "service_key": "STORACHA_SERVICE_KEY",
    "receipts_url": "STORACHA_RECEIPTS_URL",
    "gateway_url": "STORACHA_GATEWAY_URL",
    "indexer_url": "STORACHA_INDEXER_URL",
    "space": "STORACHA_SPACE",
    "key": "STORACHA_PRINCIPAL",
    "proof": "STORACHA_PROOF",
    "state": "STORACHA_STATE",
}
"""Variables that stand in for options which are not set; the official tools read some of them too."""


def options_of(
    options: StorachaOptions | None = None, environment: Mapping[str, str] = os.environ
) -> StorachaOptions:
    """Complete options by the environment: see `ENVIRONMENT`.

    Args:
        options: A tier's options; what they set counts.
        environment: Where the variables are.

    Raises:
        ConfigError: A variable has an unusable value; the message does not show secrets.
    """
    base = options or StorachaOptions()
    found: dict[str, object] = {}
    for name, variable in ENVIRONMENT.items():
        value = environment.get(variable, "")
        if value and not getattr(base, name):
            found[name] = Path(value) if name == "state" else value
    if base.key or base.state:
        # A key goes with its own proofs: what the environment says is another agent's.
        found.pop("proof", None)
        found.pop("key", None)
    try:
        return evolve(base, **found)  # type: ignore[arg-type] # each by its own name
    except ValueError as error:
        raise ConfigError(f"the environment says something unusable: {error}") from None


class Agent:
    """Somebody who talks to a service: see `connect`. Safe to use from several threads.

    Args:
        service: How the service is asked, in whose name.
        state: What the agent has to begin with.
        file: Where the state lies, None to keep nothing.
        space: DID or name of the space that is used when none is named.
        proofs: Delegations that it has besides, which are not written to the file.

    Attributes:
        service: As given.
        file: As given.
    """

    def __init__(
        self,
        service: Service,
        state: State | None = None,
        file: StateFile | None = None,
        space: str = "",
        proofs: Sequence[Delegation] = (),
    ) -> None:
        self.service, self.file = service, file
        self._space, self._given = space, tuple(proofs)
        self._lock = threading.Lock()
        self._take(state or State(service.agent))

    @property
    def did(self) -> str:
        """Who asks."""
        return self.service.agent.did

    @property
    def state(self) -> State:
        """What the agent has."""
        return self._state

    def update(self, change: Callable[[State], State]) -> State:
        """Change what the agent has; on disk too, if it has a file.

        Raises:
            ConfigError: The file cannot be written, or belongs to another agent.
        """
        with self._lock:
            if self.file is None:
                self._take(change(self._state))
            else:
                self._take(self.file.update(lambda found: change(self._own(found))))
            return self._state

    def space(self, ref: str = "") -> str:
        """Give the DID of a space.

        Args:
            ref: Its DID or its name; "" for the one of the options, then the current one, then the only one.

        Raises:
            ConfigError: None is meant, or a name that none or several have.
        """
        state = self._state
        wanted = ref or self._space or state.current
        known = dict(state.spaces)
        if not wanted:
            if len(known) == 1:
                return next(iter(known))
            raise ConfigError(
                "no space is chosen: name one with the option space, or 'ziggurat storacha space use'"
                if known
                else "there is no space: 'ziggurat storacha space create' makes one, a proof brings one"
            )
        if wanted.startswith("did:"):
            try:
                return parse_did(wanted)
            except MalformedContent as error:
                raise ConfigError(f"the space {error.message}") from error
        named = [did for did, noted in known.items() if noted.get("name") == wanted]
        if len(named) != 1:
            what = "several spaces are" if named else "no space is"
            raise ConfigError(
                f"{what} named {wanted!r}: give its DID; 'ziggurat storacha space ls' lists them"
            )
        return named[0]

    def account(self, ref: str = "") -> str:
        """Give the DID of an account that the agent is logged in with.

        Args:
            ref: Its e-mail address or DID, "" for the only one.

        Raises:
            ConfigError: Not logged in, or with several and none is named.
            MalformedContent: Not an address.
        """
        known = self._state.accounts()
        if ref:
            wanted = account_of(ref)
            if wanted in known:
                return wanted
            raise ConfigError(f"not logged in with {ref}: 'ziggurat storacha login {ref}'")
        if len(known) != 1:
            raise ConfigError(
                "logged in with several accounts: name one by its e-mail address"
                if known
                else "not logged in: 'ziggurat storacha login you@example.org'"
            )
        return known[0]

    def close(self) -> None:
        """Close the connections."""
        self.service.close()

    def _own(self, found: State | None) -> State:
        if found is None:
            return State(self.service.agent)
        if found.key.did != self.did:
            raise ConfigError(
                f"the state file belongs to {found.key.did}, and this agent is {self.did}: give another file"
                " with the option state"
            )
        return found

    def _take(self, state: State) -> None:
        self._state = state.with_delegations(self._given)
        self.service.proofs.replace(self._state.received())


def connect(
    options: StorachaOptions,
    *,
    timeouts: Timeouts = Timeouts(),
    create: bool = False,
    folder: Path | None = None,
    connections: int = 16,
) -> Agent:
    """Make an agent by its options; nothing is asked of the service.

    With `key` in the options the agent works from it and `proof` alone, and its state is kept only where
    `state` says. Otherwise key and proofs are those of the state file.

    Args:
        options: Which service, which space, who we are.
        timeouts: Seconds.
        create: Make a key and a state file when there is none.
        folder: Where processes tell one another when the service wants a pause, if there is no state file;
            None for the user's own data folder.
        connections: How many are kept open to the service.

    Raises:
        ConfigError: There is no key, or something is unusable.
    """
    file = StateFile(options.state) if options.state is not None or not options.key else None
    stored = None if file is None else file.load()
    if options.key:
        key = Key.parse(options.key)
        state = stored or State(key)
    elif stored is not None:
        key, state = stored.key, stored
    elif create and file is not None:
        state = file.update(lambda found: found or State(Key.generate()))
        key = state.key
    else:
        raise ConfigError(
            "there is no key: log in with 'ziggurat storacha login', or set key and proof (no state in"
            f" {file.path if file else default_path()})"
        )
    if state.key.did != key.did:
        raise ConfigError(
            f"the option key is that of {key.did}, and the state file that of {state.key.did}: set one of"
            " them"
        )
    shared = file.path.parent if file else folder or default_path().parent
    pace = Pace(options.service_url, shared, options.wait_budget)
    endpoints = Endpoints(options.service_url, options.service_did, options.service_key, options.receipts_url)
    service = Service(endpoints, key, Proofs(), Transport(timeouts, pace, connections))
    return Agent(service, state, file, options.space, _given(options.proof, key.did))


def _given(text: str, agent: str) -> list[Delegation]:
    if not text:
        return []
    try:
        proof = from_text(text)
    except ZigguratError as error:
        raise ConfigError(f"the option proof is unusable: {error.message}") from None
    if proof.ucan.audience != agent:
        raise ConfigError(
            f"the option proof is made out to {proof.ucan.audience}, and key is that of {agent}: ask for a"
            " delegation to this one"
        )
    return [proof]
