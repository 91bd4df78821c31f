"""Spaces on the test service, made as a person does: e-mail, a click, a space that the account pays for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from attrs import field, frozen
from tests.support.servers.storacha import StorachaServer

from ziggurat.backend import Context
from ziggurat.testing._content import DagSample, file, noise
from ziggurat_storacha import Storacha, StorachaOptions
from ziggurat_storacha.client import (
    Capability,
    Endpoints,
    Key,
    Proofs,
    Service,
    delegate,
    to_text,
)
from ziggurat_storacha.client.delegation import read_delegations
from ziggurat_storacha.client.did import account_of

__all__ = ["ABILITIES", "MIB", "Space", "large", "make_space"]

MIB = 1 << 20

ABILITIES = ("assert", "space", "blob", "index", "store", "upload", "access", "filecoin", "usage")


@frozen
class Space:
    """A space with a plan, and an agent that may do everything in it.

    Attributes:
        server: Where it is.
        owner: Its own key.
        agent: The agent's key.
        account: DID of the account that pays.
    """

    server: StorachaServer = field(repr=False)
    owner: Key
    agent: Key
    account: str

    @property
    def did(self) -> str:
        return self.owner.did

    def proof(self) -> str:
        """What entitles the agent, as text."""
        abilities = [Capability(f"{one}/*", self.did) for one in ABILITIES]
        return to_text(delegate(self.owner, self.agent.did, abilities, expiration=None))

    def options(self, **changes: Any) -> StorachaOptions:
        """For a tier."""
        server = self.server
        given: dict[str, Any] = {
            "service_url": server.url,
            "service_did": server.did,
            "gateway_url": server.url,
            "indexer_url": server.url,
            "space": self.did,
            "key": self.agent.to_text(),
            "proof": self.proof(),
        }
        return StorachaOptions(**{**given, **changes})

    def open(self, folder: Path, **changes: Any) -> Storacha:
        """A backend on it."""
        return Storacha(self.options(**changes), Context("tier", "store", catalog="catalog-1", spool=folder))


def make_space(server: StorachaServer, email: str = "someone@example.org") -> Space:
    """Make one."""
    service = Service(Endpoints(server.url, server.did), Key.generate(), Proofs())
    try:
        account = account_of(email)
        service.call("access/authorize", service.agent.did, {"iss": account, "att": [{"can": "*"}]})
        end = time.monotonic() + 30
        while not len(service.proofs):
            given = service.call("access/claim", service.agent.did)["delegations"]
            service.proofs.add(*(one for data in given.values() for one in read_delegations(data)))
            assert time.monotonic() < end
        owner = Key.generate()
        service.call("provider/add", account, {"provider": server.did, "consumer": owner.did})
    finally:
        service.close()
    return Space(server, owner, service.agent, account)


def large(seed: int = 0) -> DagSample:
    """A file of four shards of 1 MiB at most."""
    return file(noise(5 * MIB // 2, seed), leaf=1 << 18, fan=8)
