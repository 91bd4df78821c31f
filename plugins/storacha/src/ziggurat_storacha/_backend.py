"""The hooks of the storacha backend."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ziggurat.backend import (
    BackendType,
    Capabilities,
    Context,
    Dag,
    Evicted,
    Info,
    Key,
    Medium,
    Stat,
    as_key,
    hookimpl,
)
from ziggurat.content import DAG_PB, Cid
from ziggurat.errors import ContentMismatch, TierError, TierUnavailable, ZigguratError
from ziggurat_storacha._connect import Connection, open_space
from ziggurat_storacha._options import StorachaOptions
from ziggurat_storacha.uploads import Index, Uploaded, UploadRow, shard_digest

__all__ = ["KEPT", "Storacha", "backend"]

KEPT = (
    "what was published cannot be taken back: storage nodes, gateways and Filecoin deals may go on holding"
    " its bytes; the space no longer lists them"
)
"""What is said of a copy that was given up."""
_SHARED = "; {} of its shards stay in the space, because other uploads use them"


class Storacha:
    """A space of an upload service; its uploads are the copies.

    Args:
        options: ``[tier.options]``.
        context: Tells timeouts, and a folder for what is read whole.
    """

    def __init__(self, options: StorachaOptions, context: Context) -> None:
        self._options, self._context = options, context
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    # -- reading --------------------------------------------------------------------------------

    @hookimpl
    def get(self, key: str, note: bytes | None) -> bytes | Dag | None:
        """Give a block, or the blocks of a DAG, from the storage nodes or a gateway."""
        note = _index_in(note)
        asked = as_key(key)
        cid, here = asked.cid, self.connection
        if asked.kind == "plain" and cid.codec == DAG_PB:
            found: bytes | Dag | None = here.reader.dag(cid, note)
        else:
            found = here.reader.block(cid)
        if found is None and here.uploads.get(cid) is not None:
            raise TierUnavailable(
                "the space lists it, but nobody there says where it can be read: they may lag behind; try"
                " again later, or set indexer_url and gateway_url",
                retryable=True,
            )
        return found

    @hookimpl
    def has(self, key: str) -> bool:
        """Tell whether the space lists an upload of this root."""
        return self.connection.uploads.get(as_key(key).cid) is not None

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """Tell the bytes of an upload's shards; the size of its plain bytes is not known without a read."""
        uploads = self.connection.uploads
        row = uploads.get(as_key(key).cid)
        if row is None:
            return None
        sizes = uploads.blobs.sizes([shard_digest(shard) for shard in row.shards])
        # One that the space lacks, an upload of somebody else may name all the same.
        return Stat(stored=sum(size or 0 for size in sizes))

    # -- writing --------------------------------------------------------------------------------

    @hookimpl
    def put(self, key: str, content: Dag) -> Stat:
        """Upload a DAG; one that the space lists with all its shards is acknowledged at once."""
        cid = as_key(key).cid
        row = self.connection.uploads.get(cid)
        if row is not None and (held := self._held(cid, row)) is not None:
            return held
        return self._add(cid, content)

    @hookimpl
    def put_many(self, items: Sequence[tuple[Key, Dag, Info | None]]) -> Sequence[Stat | ZigguratError]:
        """Upload several DAGs, some at once."""

        def one(item: tuple[Key, Dag, Info | None]) -> Stat | ZigguratError:
            try:
                return self.put(item[0], item[1])
            except ZigguratError as error:
                return error

        with ThreadPoolExecutor(self._options.parallel, "ziggurat-storacha-put") as threads:
            return list(threads.map(one, items))

    @hookimpl
    def evict(self, key: str, note: bytes | None) -> Evicted:
        """Remove the upload, its shards and its index; `kept` says what nobody can take back."""
        cid, here = as_key(key).cid, self.connection
        note = _index_in(note)
        # Put again with another shard size, it has more than one.
        names = list(dict.fromkeys([*here.index_names(cid), *([note] if note else [])]))
        removed = here.uploads.remove(cid, names)
        if removed is None:
            # An evict that broke off has left its blobs: with the note they are found.
            if note and (index := self._index_of(cid, note)) is not None:
                here.uploads.remove_blobs(cid, index.shards, [note])
            here.positions.forget(cid)
            return Evicted(False)
        here.positions.forget(cid)
        return Evicted(True, KEPT + (_SHARED.format(removed.shared) if removed.shared else ""))

    # -- the space ------------------------------------------------------------------------------

    @hookimpl
    def scan(self) -> Iterator[str]:
        """List the roots of the space's uploads."""
        seen: set[Cid] = set()
        for row in self.connection.uploads.list():
            if row.root not in seen:
                seen.add(row.root)
                yield str(row.root.key)

    @hookimpl
    def identify(self) -> Medium:
        """Give the space's DID."""
        return Medium(self.connection.uploads.space)

    @hookimpl
    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def connection(self) -> Connection:
        """What talks to the space; made at the first use."""
        with self._lock:
            if self._connection is None:
                self._connection = open_space(self._options, self._context.timeouts, self._context.spool)
            return self._connection

    def _held(self, cid: Cid, row: UploadRow) -> Stat | None:
        """What is there of an upload that is listed, None unless the space has all of its shards."""
        here = self.connection
        sizes = here.uploads.blobs.sizes([shard_digest(shard) for shard in row.shards])
        if not sizes or None in sizes:
            return None
        names = here.index_names(cid)
        return Stat(stored=sum(size or 0 for size in sizes), note=names[-1] if names else None)

    def _add(self, cid: Cid, content: Dag) -> Stat:
        here = self.connection
        pairs = iter(content.pairs())
        first = next(pairs, None)
        if first is None or first[0] != cid:
            raise ContentMismatch(f"the DAG of {cid} does not begin with its root", cid=cid)

        def chained() -> Iterator[tuple[Cid, bytes]]:
            yield first
            yield from pairs

        done = here.uploads.add(first[0], chained())
        self._learn(done)
        return Stat(stored=done.stored, note=done.index)

    def _learn(self, done: Uploaded) -> None:
        here = self.connection
        here.positions.add(done.index, Index.made(done.root, done.made))
        if here.reader.direct is not None:
            here.reader.direct.learn(done.locations)

    def _index_of(self, cid: Cid, note: bytes) -> Index | None:
        direct = self.connection.reader.direct
        try:
            index = None if direct is None else direct.index(cid, note)
        except TierError:
            return None
        return index if index is not None and index.content == cid else None


def _index_in(note: bytes | None) -> bytes | None:
    """The multihash of an index blob, which is what a note is; None for anything else."""
    return note if note and len(note) == 34 and note.startswith(b"\x12\x20") else None


backend = BackendType(
    factory=Storacha,
    options=StorachaOptions,
    capabilities=Capabilities(form="dag", ranges=False, public=True, durable=True),
)
