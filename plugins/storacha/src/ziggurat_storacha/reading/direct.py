"""Reading from storage nodes: claims lead to an index, the index to ranges of shards.

A block is proved here as well as by the core, because only here it is known that another node, or the
gateway, may have the right one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

import cachetools

from ziggurat.content import MAX_BLOCK, Cid, Dag, read_car
from ziggurat.errors import MalformedContent, TierError, TierUnavailable
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.reading.claims import Found, query_claims
from ziggurat_storacha.reading.nodes import Nodes
from ziggurat_storacha.reading.positions import Positions
from ziggurat_storacha.uploads.index import MAX_INDEX, Index, Position, decode_index
from ziggurat_storacha.uploads.shards import multihash

__all__ = ["Direct"]

log = logging.getLogger("ziggurat.storacha")

_URLS = 20_000
_URL_SECONDS = 600.0


class Direct:
    """Blocks and DAGs from storage nodes. Safe to use from several threads.

    Args:
        transport: How to ask.
        indexer: URL of the indexing service.
        nodes: The storage nodes.
        positions: Where blocks lie, as far as it is known.
    """

    def __init__(self, transport: Transport, indexer: str, nodes: Nodes, positions: Positions) -> None:
        self._transport, self._indexer, self._nodes, self.positions = transport, indexer, nodes, positions
        self._lock = threading.Lock()
        self._urls: cachetools.TTLCache[bytes, tuple[str, ...]] = cachetools.TTLCache(_URLS, _URL_SECONDS)

    def block(self, cid: Cid) -> bytes | None:
        """One block, None if the indexing service knows nothing of it.

        Raises:
            TierError: It could not be told, or it is known and no node gave the right bytes.
        """
        digest = multihash(cid)
        position = self.positions.of(digest)
        if position is not None:
            try:
                return self._at(position, cid)
            except TierError:
                # What was known may be old: the shard may be gone, and the block lie in another one.
                self._forget(position.shard)
        found = self._ask(digest)
        for name in reversed(found.indexes):
            index = self._index(name, found)
            position = index.positions.get(digest)
            if position is not None:
                return self._at(position, cid)
        if digest in found.locations:
            return self._right(found.locations[digest], 0, None, cid)  # a blob that is one block
        return None

    def dag(self, root: Cid, note: bytes | None) -> Dag | None:
        """The blocks of a DAG, root first, then as they lie; None if the indexing service does not know it.

        Args:
            root: Its root.
            note: Multihash of its index blob, where it is known.

        Raises:
            TierError: As `block`; the pairs too.
        """
        index = self.index(root, note)
        if index is None or index.content != root or multihash(root) not in index.positions:
            # What it lies beneath would come whole: the core asks for its blocks one by one.
            block = self.block(root)
            return None if block is None else Dag(lambda: iter(((root, block),)))
        first = self._at(index.positions[multihash(root)], root)
        open_now = ExitStack()
        shards = iter(index.shards)
        stream = self._open(open_now, next(shards))

        def pairs() -> Iterator[tuple[Cid, bytes]]:
            nonlocal stream
            yield root, first
            while True:
                try:
                    yield from read_car(stream)
                except MalformedContent as error:
                    raise TierUnavailable(
                        f"a shard of {root} breaks off or is none ({error.message}): try again",
                        retryable=True,
                    ) from error
                open_now.close()
                following = next(shards, None)
                if following is None:
                    return
                stream = self._open(open_now, following)

        return Dag(pairs, close=open_now.close)

    def index(self, root: Cid, note: bytes | None = None) -> Index | None:
        """An index that knows a root, its own rather than another's; None if there is none.

        `Index.content` tells whether it is its own: an upload that has the root beneath knows it too.

        Raises:
            TierError: It could not be told, or could not be read.
        """
        if note and (known := self.positions.index(note)) is not None:
            return known
        if note and (found := self._ask(note)).locations.get(note):
            try:
                return self._index(note, found)
            except TierError:
                pass  # the indexing service may know a newer one
        found = self._ask(multihash(root))
        failure: TierError | None = None
        for name in reversed(found.indexes):
            try:
                index = self._index(name, found)
            except TierError as error:
                failure = error
                continue
            if multihash(root) in index.positions:
                return index
        if failure is not None:
            raise failure
        return None

    def index_names(self, root: Cid) -> list[bytes]:
        """Multihashes of the index blobs of an upload; one that cannot be read is left out, and logged.

        What they hold is looked at: the index of another upload that has the root beneath knows it as well.

        Raises:
            TierError: It could not be told.
        """
        found = self._ask(multihash(root))
        names = []
        for name in found.own:
            try:
                index = self._index(name, found)
            except TierError as error:
                log.warning("an index of %s was not looked at: %s", root, error.message)
                continue
            if index.content == root:
                names.append(name)
        return names

    def learn(self, locations: Mapping[bytes, str]) -> None:
        """Remember where blobs are, as the nodes said when they accepted them."""
        with self._lock:
            for digest, url in locations.items():
                self._urls[digest] = (url,)

    # -- claims ---------------------------------------------------------------------------------

    def _ask(self, digest: bytes) -> Found:
        found = query_claims(self._transport, self._indexer, digest)
        with self._lock:
            self._urls.update(found.locations)
        return found

    def _locations(self, digest: bytes) -> tuple[str, ...]:
        with self._lock:
            known = self._urls.get(digest)
        urls = known or self._ask(digest).locations.get(digest, ())
        if not urls:
            raise TierUnavailable(
                "the indexing service knows an index, and not where its shard is: try again later",
                retryable=True,
            )
        return urls

    def _forget(self, digest: bytes) -> None:
        with self._lock:
            self._urls.pop(digest, None)

    def _index(self, name: bytes, found: Found) -> Index:
        """An index by the multihash of its blob, proved, from memory, from the answer or from a node."""
        known = self.positions.index(name)
        if known is not None:
            return known
        failure: Exception | None = None
        for data in self._copies(name, found):
            try:
                index = decode_index(data if isinstance(data, bytes) else data(), name)
            except (TierError, MalformedContent) as error:
                failure = error
                continue
            self.positions.add(name, index)
            return index
        raise TierUnavailable(
            f"an index could not be read ({failure}): try again later", retryable=True
        ) from failure

    def _copies(self, name: bytes, found: Found) -> Iterator[bytes | Callable[[], bytes]]:
        """Where an index blob can be had: bytes at hand, and what fetches some."""
        if name in found.inlined:
            yield found.inlined[name]
        for url in self._locations(name):
            yield partial(self._fetch, url, MAX_INDEX)

    def _fetch(self, url: str, limit: int) -> bytes:
        return self._transport.fetch("GET", url, option="indexer_url", redirects=True, limit=limit).body

    # -- shards ---------------------------------------------------------------------------------

    def _at(self, position: Position, cid: Cid) -> bytes:
        return self._right(self._locations(position.shard), position.offset, position.length, cid)

    def _right(self, urls: tuple[str, ...], offset: int, length: int | None, cid: Cid) -> bytes:
        """The block from the first node that gives the right one."""
        failures: list[TierError] = []
        for url in urls:
            try:
                if length is None:
                    block = self._fetch(url, MAX_BLOCK)
                else:
                    block = self._nodes.read(url, offset, length)
            except TierError as error:
                failures.append(error)
                continue
            if cid.matches(block):
                return block
            failures.append(
                TierUnavailable(f"a storage node gave other bytes than those of {cid}: try again later")
            )
        raise failures[-1]

    def _open(self, stack: ExitStack, shard: bytes) -> Iterator[bytes]:
        failures: list[TierError] = []
        for url in self._locations(shard):
            try:
                return stack.enter_context(self._nodes.stream(url))
            except TierError as error:
                failures.append(error)
        raise failures[-1]
