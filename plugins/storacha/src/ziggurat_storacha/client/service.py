"""A connection to one service: who asks, with which proofs, and what came of it, proved.

Every invocation carries a nonce: services answer a repeated one from their memory. Every receipt's signature
is checked before anybody sees it.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from ziggurat.content import Cid
from ziggurat.errors import BlobError, ConfigError, MalformedContent, TierError, TierTimeout, TierUnavailable
from ziggurat_storacha.client.delegation import Delegation, delegate
from ziggurat_storacha.client.did import parse_did, public_key
from ziggurat_storacha.client.errors import of_failure
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.messages import CONTENT_TYPE, Message, read_message, write_message
from ziggurat_storacha.client.proofs import Authority, Proofs
from ziggurat_storacha.client.receipts import Receipt, verify_receipt
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.client.ucan import Capability

__all__ = ["LIFETIME", "Endpoints", "Service"]

log = logging.getLogger("ziggurat.storacha")

LIFETIME: Final = 120
"""Seconds for which an invocation holds."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0


@frozen
class Endpoints:
    """Where a service is, and who it is.

    Attributes:
        url: Where invocations go.
        did: DID of the service.
        key: ``did:key`` that speaks for it, "" to ask it at `url`.
        receipts: Where receipts are polled, "" for ``receipt/`` under `url`.
    """

    url: str
    did: str
    key: str = ""
    receipts: str = ""

    def receipt_url(self, task: Cid) -> str:
        """Where the receipt of an invocation is polled."""
        base = self.receipts or self.url.rstrip("/") + "/receipt"
        return f"{base.rstrip('/')}/{task}"


class Service:
    """A service, as one agent talks to it. Safe to use from several threads; connects when first asked.

    Args:
        endpoints: Where and who it is.
        agent: Who asks.
        proofs: What entitles the agent.
        transport: How it is asked.

    Attributes:
        endpoints: As given.
        agent: As given.
        proofs: As given; what is added counts from then on.
        transport: As given.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        agent: Key,
        proofs: Proofs | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.endpoints, self.agent = endpoints, agent
        self.proofs = proofs if proofs is not None else Proofs()
        self.transport = transport if transport is not None else Transport()
        self._lock = threading.Lock()
        self._key = ""

    def key(self) -> str:
        """Give the ``did:key`` that speaks for the service.

        A ``did:key`` speaks for itself. Otherwise it is the configured one, or what the service says at its
        own address (``/.well-known/did.json``, ``/version``), once for this object: trust then rests on the
        connection, and no redirect is followed.

        Raises:
            ConfigError: No service is configured.
            TierError: It cannot be asked, or does not say.
        """
        with self._lock:
            if not self._key:
                self._key = self._find_key()
            return self._key

    def authority(self) -> Authority:
        """Who vouches for accounts: the service, with the key that is known by now."""
        did = self.endpoints.did
        return Authority(did, did if did.startswith("did:key:") else self.endpoints.key or self._key)

    def call(
        self,
        can: str,
        resource: str,
        nb: Mapping[str, Any] | None = None,
        *,
        proofs: Sequence[Delegation] | None = None,
        facts: Sequence[Mapping[str, Any]] = (),
        attached: Mapping[Cid, bytes] | None = None,
    ) -> Any:
        """Invoke a capability, and give what its success answers; see `invoke`.

        Raises:
            ZigguratError: It failed.
        """
        return self.ok(self.invoke(can, resource, nb, proofs=proofs, facts=facts, attached=attached), can)

    def invoke(
        self,
        can: str,
        resource: str,
        nb: Mapping[str, Any] | None = None,
        *,
        proofs: Sequence[Delegation] | None = None,
        facts: Sequence[Mapping[str, Any]] = (),
        attached: Mapping[Cid, bytes] | None = None,
    ) -> Receipt:
        """Invoke a capability, and give the receipt, whether it says success or failure.

        Args:
            can: The ability, such as "upload/list".
            resource: What it is done to: DID of a space, an account or an agent.
            nb: Its arguments.
            proofs: What entitles us; None to choose among `proofs` of this object.
            facts: What is said besides.
            attached: Blocks that arguments or facts link to.

        Raises:
            TierDenied: No proof of ours entitles us.
            TierError: The service did not answer, or what answered is not the service.
        """
        made = self.invocation(can, resource, nb, proofs=proofs, facts=facts, attached=attached)
        return self.execute([made])[0]

    def ok(self, receipt: Receipt, can: str) -> Any:
        """Give what a success answers.

        Raises:
            ZigguratError: The receipt says failure.
        """
        if receipt.failure is not None:
            raise of_failure(receipt.failure, can, self.endpoints.url)
        return receipt.ok

    def invocation(
        self,
        can: str,
        resource: str,
        nb: Mapping[str, Any] | None = None,
        *,
        proofs: Sequence[Delegation] | None = None,
        facts: Sequence[Mapping[str, Any]] = (),
        attached: Mapping[Cid, bytes] | None = None,
        lifetime: int | None = LIFETIME,
    ) -> Delegation:
        """Make and sign an invocation without sending it; see `invoke`.

        Args:
            can: The ability.
            resource: What it is done to.
            nb: Its arguments.
            proofs: What entitles us; None to choose.
            facts: What is said besides.
            attached: Blocks that arguments or facts link to.
            lifetime: Seconds for which it holds, None for ever.

        Raises:
            TierDenied: No proof of ours entitles us.
        """
        self._check()
        capability = Capability(can, resource, dict(nb or {}))
        if proofs is None:
            proofs = self.proofs.choose(capability, self.agent.did, self.authority())
        return delegate(
            self.agent,
            self.endpoints.did,
            [capability],
            expiration=None if lifetime is None else int(time.time()) + lifetime,
            proofs=proofs,
            facts=facts,
            nonce=secrets.token_urlsafe(9),
            attached=attached,
        )

    def execute(self, invocations: Sequence[Delegation]) -> list[Receipt]:
        """Send invocations in one request, and give their receipts in the same order, signatures proved.

        Raises:
            TierError: The service did not answer, or not all of them, or an answer is not the service's.
        """
        self._check()
        key = self.key()
        url = self.endpoints.url
        reply = self.transport.fetch(
            "POST",
            url,
            option="service_url",
            body=write_message(invocations),
            headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE},
        )
        message = self._message(reply.body, url, "service_url")
        receipts = []
        for one in invocations:
            with _believed(url):
                receipt = message.receipt(one.cid)
            if receipt is None:
                raise TierUnavailable(
                    f"{url} did not answer {one.ucan.capabilities[0].can}; try again", retryable=True
                )
            with _believed(url):
                verify_receipt(receipt, self.endpoints.did, key)
            receipts.append(receipt)
        return receipts

    def poll(
        self,
        task: Cid,
        executor: str = "",
        *,
        patience: float = 60.0,
        cancel: threading.Event | None = None,
    ) -> Receipt:
        """Wait for the receipt of an invocation that runs in the background.

        Args:
            task: CID of the invocation.
            executor: DID of who executes it, "" for the service.
            patience: Seconds to wait.
            cancel: Ends the wait.

        Raises:
            TierTimeout: There was none in time, or the wait was ended.
            TierError: It could not be asked, or the receipt is not the executor's.
        """
        self._check()
        url = self.endpoints.receipt_url(task)
        until, pause = time.monotonic() + patience, _FIRST_POLL
        ended = cancel or threading.Event()
        while True:
            reply = self.transport.fetch(
                "GET", url, option="receipts_url", expect=(200, 404), redirects=True, cancel=cancel
            )
            if reply.status == 200:
                with _believed(url):
                    receipt = self._message(reply.body, url, "receipts_url").receipt(task)
                if receipt is not None:
                    self.prove(receipt, executor or self.endpoints.did)
                    return receipt
            left = until - time.monotonic()
            if left <= 0 or ended.wait(min(pause, left)):
                why = "the wait was ended" if ended.is_set() else f"none within {patience:.0f} s"
                raise TierTimeout(f"{url} has no receipt yet: {why}; try again", retryable=True)
            pause = min(2 * pause, _LONGEST_POLL)

    def prove(self, receipt: Receipt, executor: str) -> None:
        """Prove that a receipt is signed by who should have executed its invocation.

        Args:
            receipt: What came.
            executor: DID of the audience of its invocation; only the service's own need not be a did:key.

        Raises:
            TierUnavailable: It is not.
        """
        key = executor if executor != self.endpoints.did else self.key()
        with _believed(self.endpoints.url):
            verify_receipt(receipt, executor, key)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def _check(self) -> None:
        for name, value in (("service_url", self.endpoints.url), ("service_did", self.endpoints.did)):
            if not value:
                raise ConfigError(
                    f"no Storacha service is configured: set {name} in the tier's options, or"
                    f" STORACHA_{name.upper()}"
                )

    def _message(self, body: bytes, url: str, option: str) -> Message:
        try:
            return read_message(body)
        except MalformedContent as error:
            raise TierUnavailable(
                f"what answers at {url} does not speak the service's protocol ({error.message}); correct"
                f" {option}"
            ) from error

    def _find_key(self) -> str:
        self._check()
        did, given = self.endpoints.did, self.endpoints.key
        named = did if did.startswith("did:key:") else given
        try:
            parse_did(did)
            if named:
                public_key(named)
                return named
        except BlobError as error:
            option = "service_key" if named == given else "service_did"
            raise ConfigError(f"the option {option} is unusable: {error.message}") from error
        parts = urlsplit(self.endpoints.url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            log.warning("%s is not asked over TLS: anybody on the way can name its key; set service_key", did)
        for path, read in (("/.well-known/did.json", _of_document), ("/version", _of_version)):
            url = f"{parts.scheme}://{parts.netloc}{path}"
            try:
                reply = self.transport.fetch("GET", url, option="service_url", limit=1 << 20)
                found = read(json.loads(reply.body), did)
                public_key(found)
            except TierError as error:
                if error.retryable:
                    raise
            except (ValueError, LookupError, TypeError, RecursionError, BlobError):
                continue
            else:
                return found
        raise ConfigError(
            f"{self.endpoints.url} does not say the key of {did}: correct service_did, or set service_key to"
            " its did:key"
        )


@contextmanager
def _believed(url: str) -> Iterator[None]:
    """Blame the service, not a blob, for an answer that is unreadable or signed by somebody else."""
    try:
        yield
    except BlobError as error:
        raise TierUnavailable(f"an answer of {url} cannot be believed: {error.message}") from error


def _of_document(document: Any, did: str) -> str:
    """The key in a DID document; https://w3c-ccg.github.io/did-method-web/."""
    if document["id"] != did:
        raise ValueError("the document of somebody else")
    return "did:key:" + str(document["verificationMethod"][0]["publicKeyMultibase"])


def _of_version(answer: Any, did: str) -> str:
    """The key in what the upload service says of its version."""
    if answer["did"] != did:
        raise ValueError("the version of somebody else")
    return str(answer["publicKey"])
