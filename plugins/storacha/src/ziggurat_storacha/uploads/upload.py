"""Uploads: a DAG sent in shards, with an index, and listed under its root.

``upload/add`` goes last: until then nobody sees anything, and what arrived is found again by the next
attempt, because the same DAG is cut into the same shards.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any

from attrs import field, frozen

from ziggurat.content import DAG_PB, Cid
from ziggurat.errors import MalformedContent, TierDenied, TierUnavailable
from ziggurat_storacha.client.service import Service
from ziggurat_storacha.uploads.blobs import Blobs, Stored, listed
from ziggurat_storacha.uploads.index import encode_index
from ziggurat_storacha.uploads.shards import (
    SHARD_SIZE,
    Shard,
    Slice,
    cut,
    digest_of,
    multihash,
    shard_cid,
    shard_digest,
    shard_of_car,
)

__all__ = ["Removed", "UploadRow", "Uploaded", "Uploads"]

_ASK_FROM = 1 << 20  # bytes of a shard from which it is asked for before it is offered
_GONE = ("IndexNotFound", "ShardNotFound")

Pair = tuple[Cid, bytes]
Progress = Callable[[int], object]
Made = tuple[bytes, int, tuple[Slice, ...]]
"""Multihash, bytes and slices of a shard."""


@frozen
class Uploaded:
    """An upload that the space lists now.

    Attributes:
        root: Its root.
        shards: CIDs of its shards, as the service lists them; those of an earlier upload of the root too.
        made: Multihash, bytes and slices of each shard that was made now.
        index: Multihash of the index blob.
        stored: Bytes of the shards that were made and of the index.
        sent: Bytes that were sent; what the service had already was not.
        locations: Where storage nodes say that blobs are, by multihash.
    """

    root: Cid
    shards: tuple[Cid, ...]
    made: tuple[Made, ...] = field(repr=False)
    index: bytes = field(repr=lambda value: value.hex())
    stored: int
    sent: int
    locations: Mapping[bytes, str] = field(repr=False)


@frozen
class UploadRow:
    """An upload as the space lists it.

    Attributes:
        root: Its root.
        shards: CIDs of its shards.
        inserted, updated: When, in ISO 8601, "" where the service does not say.
    """

    root: Cid
    shards: tuple[Cid, ...]
    inserted: str = ""
    updated: str = ""


class Uploads:
    """The uploads of one space. Safe to use from several threads.

    Args:
        service: Who keeps them.
        space: DID of the space.
        shard_size: Bytes of a shard.
        at_once: Shards of one upload that are sent at the same time; one more is in memory while it is cut.

    Attributes:
        service, space: As given.
        blobs: The blobs of the space.
    """

    def __init__(
        self, service: Service, space: str, *, shard_size: int = SHARD_SIZE, at_once: int = 2
    ) -> None:
        self.service, self.space = service, space
        self.blobs = Blobs(service, space)
        self._shard_size, self._at_once = shard_size, at_once

    # -- sending --------------------------------------------------------------------------------

    def add(
        self,
        root: Cid,
        pairs: Iterable[Pair],
        *,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Uploaded:
        """Upload a DAG; shards that the space has already are not sent again.

        Args:
            root: Its root.
            pairs: Its blocks, root first.
            progress: Told the bytes of each shard once the service has it.
            cancel: Ends a wait.

        Raises:
            TierError: It is not listed. What arrived stays in the space for the next attempt.
            Exception: What reading the blocks raised, unchanged; it is not listed. What arrived stays too:
                another process may be sending the same.
        """
        return self._send(root, cut(root, pairs, self._shard_size), progress, cancel)

    def add_car(self, data: bytes, *, root: Cid | None = None, progress: Progress | None = None) -> Uploaded:
        """Upload a ready CAR as one shard, byte for byte; its blocks are proved first.

        Args:
            data: A CARv1.
            root: Of the upload, where the CAR names none or several roots.
            progress: Told the bytes.

        Raises:
            MalformedContent: Not such a CAR, a wrong block, or no root to list it under.
            TierError: It is not listed.
        """
        roots, shard = shard_of_car(data)
        named = root or (roots[0] if len(roots) == 1 else None)
        if named is None:
            raise MalformedContent(f"the CAR names {len(roots)} roots: say under which one to list it")
        return self._send(named, iter([shard]), progress, None)

    def _send(
        self,
        root: Cid,
        shards: Iterator[Shard],
        progress: Progress | None,
        cancel: threading.Event | None,
    ) -> Uploaded:
        held = deque([next(shards)])
        if len(held[0].data) < _ASK_FROM:
            held.extend(islice(shards, 1))
            if len(held) == 1:
                return self._send_small(root, held.pop(), progress, cancel)
        made: list[Made] = []
        with _Sending(self.blobs, self._at_once, progress, cancel) as sending:
            while held or (held := deque(islice(shards, 1))):
                shard = held.popleft()
                made.append((shard.digest, len(shard.data), shard.slices))
                sending.submit(shard.data, shard.digest)
                del shard
            # The index goes beside the last shards: it says nothing before it is registered.
            index = encode_index(root, made)
            sending.submit(index, digest_of(index), quiet=True)
            return self._register(root, made, index, sending.finish())

    def _send_small(
        self, root: Cid, shard: Shard, progress: Progress | None, cancel: threading.Event | None
    ) -> Uploaded:
        """One small shard and its index travel together."""
        made: list[Made] = [(shard.digest, len(shard.data), shard.slices)]
        index = encode_index(root, made)
        stored = self.blobs.add_all([(shard.digest, shard.data), (digest_of(index), index)], cancel=cancel)
        if progress is not None:
            progress(len(shard.data))
        return self._register(root, made, index, stored)

    def _register(self, root: Cid, made: list[Made], index: bytes, stored: list[Stored]) -> Uploaded:
        digest = digest_of(index)
        known = self.service.invoke("space/index/add", self.space, {"index": shard_cid(digest)})
        if known.failure is not None and known.failure.name in _GONE:
            raise _overtaken(root)
        self.service.ok(known, "space/index/add")
        answer = self.service.call(
            "upload/add", self.space, {"root": root, "shards": [shard_cid(one) for one, _, _ in made]}
        )
        # What was there may have been of an upload of the same root that somebody removed meanwhile.
        found = [one.digest for one in stored if not one.sent]
        if found and None in self.blobs.sizes(found):
            raise _overtaken(root)
        return Uploaded(
            root,
            _links(answer, "shards"),
            tuple(made),
            digest,
            sum(size for _, size, _ in made) + len(index),
            sum(one.size for one in stored if one.sent),
            {one.digest: one.location for one in stored if one.location},
        )

    # -- looking --------------------------------------------------------------------------------

    def get(self, root: Cid) -> UploadRow | None:
        """One upload, None if the space does not list it, as CIDv0 or as CIDv1.

        Raises:
            TierError: It cannot be told.
        """
        return next(iter(self._rows(root)), None)

    def _rows(self, root: Cid) -> list[UploadRow]:
        """What is listed of a root: the space may list it as CIDv1 and as CIDv0."""
        asked = [self.service.invocation("upload/get", self.space, {"root": one}) for one in _versions(root)]
        return [
            self._row(self.service.ok(receipt, "upload/get"))
            for receipt in self.service.execute(asked)
            if receipt.failure is None or receipt.failure.name != "UploadNotFound"
        ]

    def list(self, page: int = 1000) -> Iterator[UploadRow]:
        """Every upload of the space; ends normally only when that were all.

        Args:
            page: Uploads asked for in one request.

        Raises:
            TierError: The list could not be completed.
        """
        for row in listed(self.service.call, "upload/list", self.space, self.service.endpoints.url, page):
            yield self._row(row)

    def _row(self, row: Any) -> UploadRow:
        root = row.get("root") if isinstance(row, Mapping) else None
        if not isinstance(root, Cid):
            raise TierUnavailable(
                f"{self.service.endpoints.url} lists an upload without a root; correct service_url"
            )
        return UploadRow(
            root, _links(row, "shards"), str(row.get("insertedAt") or ""), str(row.get("updatedAt") or "")
        )

    # -- removing -------------------------------------------------------------------------------

    def used_elsewhere(self, root: Cid, shards: Iterable[bytes]) -> set[bytes]:
        """Which shards of an upload other uploads of the space use too.

        Raises:
            TierError: It cannot be told.
        """
        wanted = set(shards)
        return {
            digest
            for row in self.list()
            if row.root != root
            for shard in row.shards
            if (digest := shard_digest(shard)) in wanted
        }

    def remove(self, root: Cid, indexes: Sequence[bytes] = ()) -> Removed | None:
        """Remove an upload, those of its shards that no other upload uses, and its index.

        The list entry goes first, so that an attempt that breaks off leaves no upload that cannot be read.

        Args:
            root: Its root.
            indexes: Multihashes of its index blobs; one that is not known stays in the space.

        Returns:
            None if the space does not list it.

        Raises:
            TierError: It may be there still, or some of its blobs.
        """
        rows = self._rows(root)
        if not rows:
            return None
        for row in rows:
            receipt = self.service.invoke("upload/remove", self.space, {"root": row.root})
            if receipt.failure is None or receipt.failure.name != "UploadNotFound":
                self.service.ok(receipt, "upload/remove")
        shards = dict.fromkeys(shard_digest(shard) for row in rows for shard in row.shards)
        return self.remove_blobs(rows[0].root, list(shards), indexes)

    def remove_blobs(self, root: Cid, shards: Sequence[bytes], indexes: Sequence[bytes] = ()) -> Removed:
        """Remove what an upload left behind that is no longer listed; the index, which leads to it, last.

        Args:
            root: Its root.
            shards: Multihashes of its shards.
            indexes: Multihashes of its index blobs.

        Raises:
            TierError: Some of its blobs may be there; all of them, if somebody uploaded it again meanwhile.
        """
        shared = self.used_elsewhere(root, shards)
        if self.get(root) is not None:
            raise TierUnavailable(
                f"somebody uploaded {root} again while it was removed, so its shards stay; remove it again"
            )
        gone = [shard for shard in shards if shard not in shared]
        freed = self.blobs.remove(gone)
        absent = [shard for shard, size in zip(gone, freed, strict=True) if not size]
        if absent:
            # An agent that may not use the older store has put nothing there.
            with suppress(TierDenied):
                freed += self.blobs.remove_stored(absent)
        freed += self.blobs.remove(indexes)
        return Removed(root, len(gone), len(shared), sum(freed))


@frozen
class Removed:
    """What became of an upload that was removed.

    Attributes:
        root: Its root.
        shards: Shards that the space has no more.
        shared: Shards that stay, because other uploads use them.
        freed: Bytes that the space has fewer.
    """

    root: Cid
    shards: int
    shared: int
    freed: int


def _overtaken(root: Cid) -> TierUnavailable:
    return TierUnavailable(f"{root} was removed by somebody while it was uploaded: try again", retryable=True)


def _versions(root: Cid) -> list[Cid]:
    """The root as CIDv1, and as CIDv0 where it has one: the service does not know that they are one."""
    if root.codec != DAG_PB or root.hash_code != 0x12:
        return [root]
    digest = multihash(root)
    return [Cid.from_bytes(b"\x01\x70" + digest), Cid.from_bytes(digest)]


def _links(answer: Any, name: str) -> tuple[Cid, ...]:
    found = answer.get(name) if isinstance(answer, Mapping) else None
    return tuple(one for one in found if isinstance(one, Cid)) if isinstance(found, list) else ()


class _Sending:
    """The blobs of one upload on their way, a few at once."""

    def __init__(
        self, blobs: Blobs, at_once: int, progress: Progress | None, cancel: threading.Event | None
    ) -> None:
        self._blobs, self._at_once, self._progress, self._cancel = blobs, at_once, progress, cancel
        self._running: deque[Future[Stored]] = deque()
        self._done: list[Stored] = []

    def __enter__(self) -> _Sending:
        self._threads = ThreadPoolExecutor(self._at_once, "ziggurat-storacha-upload")
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        for one in self._running:
            one.cancel()
        self._threads.shutdown()

    def submit(self, data: bytes, digest: bytes, *, quiet: bool = False) -> None:
        """Send a blob, once there is room: at most so many, and the one given here, are in memory."""
        while len(self._running) >= self._at_once:
            self._done.append(self._running.popleft().result())
        self._running.append(self._threads.submit(self._send, data, digest, quiet))

    def finish(self) -> list[Stored]:
        """Wait for all; gives what became of them."""
        while self._running:
            self._done.append(self._running.popleft().result())
        return self._done

    def _send(self, data: bytes, digest: bytes, quiet: bool) -> Stored:
        size = len(data)
        # Asking costs little beside a large shard, and much beside a small one.
        if size >= _ASK_FROM and self._blobs.sizes([digest]) == [size]:
            stored = Stored(digest, size, sent=False)
        else:
            stored = self._blobs.add(data, digest, cancel=self._cancel)
        if self._progress is not None and not quiet:
            self._progress(size)
        return stored
