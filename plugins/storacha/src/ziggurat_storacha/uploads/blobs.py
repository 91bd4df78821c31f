"""Blobs of a space: bytes under their digest, which is how a service keeps shards and indexes.

To add one takes four steps: ``space/blob/add`` allocates it; a PUT brings the bytes to the storage node that
the allocation names, unless a node has them already; ``ucan/conclude`` says that they are there; and the
receipt of ``blob/accept`` says that the node found them right. Each receipt is proved against who must have
signed it.

Source: https://github.com/storacha/specs, w3-blob.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from ziggurat.content import Cid
from ziggurat.errors import MalformedContent, TierUnavailable, ZigguratError
from ziggurat_storacha.client.delegation import Delegation
from ziggurat_storacha.client.errors import of_failure
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.receipts import Receipt, issue_receipt
from ziggurat_storacha.client.service import Service
from ziggurat_storacha.uploads.shards import digest_of, shard_cid

__all__ = ["BlobRow", "Blobs", "Call", "Stored"]

Call = Callable[[str, str, Mapping[str, Any]], Any]
"""Invokes a capability on a resource with arguments, and gives what a success says."""

_PATIENCE = 60.0  # seconds to wait until a node has accepted what it was sent
_AT_ONCE = 50  # invocations in one request
_NOT_THERE = ("BlobNotFound",)
_NOT_STORED = ("StoreItemNotFound", "HandlerNotFound")


@frozen
class Stored:
    """A blob that a node has accepted.

    Attributes:
        digest: Its multihash.
        size: Bytes.
        sent: They were sent now; False when a node had them already.
        location: Where the node says that they can be read, "" where it says nothing.
    """

    digest: bytes
    size: int
    sent: bool
    location: str = ""


@frozen
class BlobRow:
    """A blob as the space lists it.

    Attributes:
        digest: Its multihash.
        size: Bytes.
        inserted: When, in ISO 8601, "" where the service does not say.
    """

    digest: bytes
    size: int
    inserted: str = ""


class Blobs:
    """The blobs of one space. Safe to use from several threads.

    Args:
        service: Who keeps them.
        space: DID of the space.
    """

    def __init__(self, service: Service, space: str) -> None:
        self.service, self.space = service, space

    def add(self, data: bytes, digest: bytes = b"", *, cancel: threading.Event | None = None) -> Stored:
        """Store bytes in the space; harmless when repeated, and then they are not sent again.

        Args:
            data: The bytes.
            digest: Their multihash, where it is known.
            cancel: Ends a wait.

        Raises:
            TierFull: The space has no plan, or no room.
            TierError: They are not stored, or it cannot be told.
        """
        return self.add_all([(digest or digest_of(data), data)], cancel=cancel)[0]

    def add_all(
        self, blobs: Sequence[tuple[bytes, bytes]], *, cancel: threading.Event | None = None
    ) -> list[Stored]:
        """Store several small blobs, their invocations in shared requests; see `add`.

        Args:
            blobs: Multihash and bytes of each.
            cancel: Ends a wait.

        Returns:
            What became of each, in order.

        Raises:
            TierError: Some are not stored, or it cannot be told.
        """
        asked = [
            self.service.invocation(
                "space/blob/add", self.space, {"blob": {"digest": digest, "size": len(data)}}
            )
            for digest, data in blobs
        ]
        works = [
            self._work(receipt, digest)
            for receipt, (digest, _) in zip(self.service.execute(asked), blobs, strict=True)
        ]
        sent = [False] * len(works)
        for place, (work, (_, data)) in enumerate(zip(works, blobs, strict=True)):
            if work.accepted is None and work.address is not None:
                self._send(data, work.address, cancel)
                sent[place] = True
        self._conclude([work for work in works if work.accepted is None])
        stored: list[Stored] = []
        for work, (digest, data), now in zip(works, blobs, sent, strict=True):
            done = work.accepted or self.service.poll(
                work.accept.cid, executor=work.accept.ucan.audience, patience=_PATIENCE, cancel=cancel
            )
            stored.append(Stored(digest, len(data), now, self._location(done, digest)))
        return stored

    def sizes(self, digests: Sequence[bytes]) -> list[int | None]:
        """Bytes of blobs of the space, None for one that it does not have; many in one request.

        Raises:
            TierError: It cannot be told.
        """
        found: list[int | None] = []
        for receipt in self._each("space/blob/get/0/1", [{"digest": digest} for digest in digests]):
            if receipt.failure is not None and receipt.failure.name in _NOT_THERE:
                found.append(None)
                continue
            answer = self.service.ok(receipt, "space/blob/get/0/1")
            found.append(int(self._field(answer, "blob")["size"]))
        return found

    def remove(self, digests: Sequence[bytes]) -> list[int]:
        """Take blobs out of the space; one that it does not have is no error.

        The nodes may keep the bytes; the space no longer pays for them.

        Returns:
            For each the bytes that the space has fewer, 0 for one that it did not have.

        Raises:
            TierError: Some may still be there.
        """
        return self._freed("space/blob/remove", [{"digest": one} for one in digests], _NOT_THERE)

    def remove_stored(self, shards: Sequence[bytes]) -> list[int]:
        """Take CARs out of the older store of the space, where the service has one; see `remove`.

        Raises:
            TierError: Some may still be there.
        """
        return self._freed("store/remove", [{"link": shard_cid(one)} for one in shards], _NOT_STORED)

    def _freed(self, can: str, arguments: Sequence[Mapping[str, Any]], absent: tuple[str, ...]) -> list[int]:
        """Remove, and give the bytes of each; 0 for one that failed under a name of what is `absent`."""
        freed: list[int] = []
        for receipt in self._each(can, arguments):
            if receipt.failure is not None and receipt.failure.name in absent:
                freed.append(0)
                continue
            answer = self.service.ok(receipt, can)
            freed.append(int(answer.get("size") or 0) if isinstance(answer, Mapping) else 0)
        return freed

    def list(self, page: int = 1000) -> Iterator[BlobRow]:
        """Every blob of the space; ends normally only when that were all.

        Args:
            page: Blobs asked for in one request.

        Raises:
            TierError: The list could not be completed.
        """
        for row in listed(self.service.call, "space/blob/list", self.space, self.service.endpoints.url, page):
            blob = self._field(row, "blob")
            yield BlobRow(bytes(blob["digest"]), int(blob["size"]), str(row.get("insertedAt") or ""))

    def _each(self, can: str, arguments: Sequence[Mapping[str, Any]]) -> Iterator[Receipt]:
        for start in range(0, len(arguments), _AT_ONCE):
            yield from self.service.execute(
                [self.service.invocation(can, self.space, nb) for nb in arguments[start : start + _AT_ONCE]]
            )

    def _send(self, data: bytes, address: Mapping[str, Any], cancel: threading.Event | None) -> None:
        self.service.transport.fetch(
            "PUT",
            str(address["url"]),
            option="service_url",
            body=data,
            # Just these, which may be signed, and the length that the HTTP library adds.
            headers={str(name): str(value) for name, value in dict(address.get("headers") or {}).items()},
            expect=(200, 201, 204),
            cancel=cancel,
        )

    def _work(self, receipt: Receipt, digest: bytes) -> _Work:
        self.service.ok(receipt, "space/blob/add")
        try:
            return _Work.of(receipt, self.service, digest)
        except (MalformedContent, KeyError, TypeError, ValueError, LookupError) as error:
            raise self._strange(f"the answer to space/blob/add lacks a part ({error})") from error

    def _conclude(self, works: Sequence[_Work]) -> None:
        """Say that the bytes are there, in the name of the keys that the service made for the tasks."""
        service, asked = self.service, []
        for work in works:
            cid, block = issue_receipt(work.key, work.put.cid, {})
            asked.append(
                service.invocation(
                    "ucan/conclude",
                    service.agent.did,
                    {"receipt": cid},
                    proofs=(),
                    facts=[{"0": cid}],
                    attached={cid: block},
                )
            )
        for receipt in service.execute(asked) if asked else ():
            service.ok(receipt, "ucan/conclude")

    def _location(self, accepted: Receipt, digest: bytes) -> str:
        """Where the node says that the bytes are; also proves that it speaks of these bytes."""
        if accepted.failure is not None:
            raise of_failure(accepted.failure, "blob/accept", self.service.endpoints.url)
        site = accepted.ok.get("site") if isinstance(accepted.ok, Mapping) else None
        if not isinstance(site, Cid) or site not in accepted.blocks:
            return ""
        try:
            claims = accepted.task(site).ucan.capabilities
        except (ZigguratError, KeyError) as error:
            raise self._strange(f"the answer to blob/accept lacks a part ({error})") from error
        for capability in claims:
            nb = capability.nb or {}
            if capability.can == "assert/location" and nb.get("location"):
                if content_digest(nb) != digest:
                    raise TierUnavailable("a storage node accepted other bytes than were sent: try again")
                return str(nb["location"][0])
        return ""

    def _field(self, answer: Any, name: str) -> Mapping[str, Any]:
        value = answer.get(name) if isinstance(answer, Mapping) else None
        if not isinstance(value, Mapping):
            raise self._strange(f"an answer has no {name}")
        return value

    def _strange(self, what: str) -> TierUnavailable:
        return TierUnavailable(f"{self.service.endpoints.url}: {what}; correct service_url")


def listed(
    call: Call, can: str, space: str, where: str, page: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """The rows of a list that a service gives in pages; ends normally only when that were all.

    Args:
        call: How to invoke.
        can: The capability that lists.
        space: DID of the space.
        where: Who is asked, for errors.
        page: Rows asked for in one request, None for as many as the service likes.

    Raises:
        TierError: The list could not be completed.
    """
    cursor: str | None = None
    while True:
        nb: dict[str, Any] = {} if page is None else {"size": page}
        if cursor:
            nb["cursor"] = cursor
        answer = call(can, space, nb)
        rows = answer.get("results") if isinstance(answer, Mapping) else None
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise TierUnavailable(f"{where} answered {can} without a list; correct service_url")
        yield from rows
        after = answer.get("cursor")
        if not rows or not after:
            return
        if after == cursor:
            raise TierUnavailable(f"{where} goes round in circles in the list of {can}")
        cursor = str(after)


def content_digest(nb: Mapping[str, Any]) -> bytes | None:
    """The multihash that a claim is about: a link, or ``{digest}``."""
    content = nb.get("content")
    if isinstance(content, Cid):
        return content.bytes[-34:] if content.hash_code == 0x12 else None
    digest = content.get("digest") if isinstance(content, Mapping) else None
    return digest if isinstance(digest, bytes) else None


@frozen
class _Work:
    """What the service wants done for one blob.

    Attributes:
        put, accept: Its tasks.
        key: Who says that the PUT was done.
        address: Where to send the bytes, None when a node has them.
        accepted: The receipt of `accept`, where there is one already.
    """

    put: Delegation
    accept: Delegation
    key: Key
    address: Mapping[str, Any] | None
    accepted: Receipt | None

    @classmethod
    def of(cls, receipt: Receipt, service: Service, digest: bytes) -> _Work:
        tasks: dict[str, Delegation] = {}
        receipts: dict[Cid, Receipt] = {}
        for cid in receipt.fork:
            task = receipt.task(cid)
            capability = task.ucan.capabilities[0]
            if capability.can == "ucan/conclude":
                concluded = receipt.receipt((capability.nb or {})["receipt"])
                receipts[concluded.ran] = concluded
            else:
                tasks[capability.can] = task
        allocate, put, accept = (tasks[can] for can in ("blob/allocate", "http/put", "blob/accept"))
        body = (put.ucan.capabilities[0].nb or {})["body"]
        if body["digest"] != digest:
            raise MalformedContent("it is about another blob")
        allocated = receipts[allocate.cid]
        service.prove(allocated, allocate.ucan.audience)
        accepted = receipts.get(accept.cid)
        if accepted is not None:
            service.prove(accepted, accept.ucan.audience)
        keys = put.ucan.facts[0]["keys"]
        return cls(
            put,
            accept,
            Key.from_bytes(keys["keys"][keys["id"]]),
            service.ok(allocated, "blob/allocate").get("address"),
            accepted,
        )
