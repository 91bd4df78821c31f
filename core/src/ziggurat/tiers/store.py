"""`StoreTier`: the face of a store or source tier, which keeps whole blobs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from ziggurat.backend import Blob, ByteRange, Dag, Evicted, Info, Key, Medium, Stat
from ziggurat.config.model import TierConfig
from ziggurat.content import DAG_PB, MAX_BLOCK, Cid, Node
from ziggurat.content.layout import read_nodes
from ziggurat.content.parcel import Parcel
from ziggurat.errors import (
    BlobTooLarge,
    ContentMismatch,
    CorruptBlob,
    MalformedContent,
    Unsupported,
    UnsupportedContent,
    ZigguratError,
)
from ziggurat.plugin.binding import Hooks
from ziggurat.tiers.tier import Tier

__all__ = ["Kept", "StoreTier"]

MAX_NODES = 1 << 30
"""Bytes of the largest ``.nodes`` that is read: the nodes of a file of several terabytes."""


@frozen
class Kept:
    """What a put of a whole blob left on a tier.

    Attributes:
        stored: Payload bytes, nodes included.
        note: What the put of the plain key returned; of a blob without plain bytes None.
        nodes_note: What the put of the ``.nodes`` key returned.
    """

    stored: int
    note: bytes | None = None
    nodes_note: bytes | None = None


class StoreTier(Tier):
    """A tier that keeps blobs, in the bytes or the dag form of the contract."""

    def __init__(self, config: TierConfig, hooks: Hooks) -> None:
        super().__init__(config, hooks)
        self.is_dag = self.capabilities.form == "dag"
        self._identity_lock = threading.Lock()
        self._medium: Medium | None = None
        self._claimed = False

    # -- who it is ------------------------------------------------------------------------------

    def identify(self, *, claim: bool = False) -> Medium | None:
        """Who the medium is, asked once; the tier's own name where the backend cannot say.

        Args:
            claim: Leave this catalog's marker; asked again until it was done once.

        Returns:
            None where the medium has no identity yet, or is not there.
        """
        if self._medium is not None and (self._claimed or not claim):
            return self._medium
        with self._identity_lock:
            self._medium = self.ask_medium(claim)
            self._claimed = self._claimed or (claim and self._medium is not None)
            return self._medium

    def refresh_medium(self) -> Medium | None:
        """Ask again who uses the medium: another catalog may have left its marker since."""
        with self._identity_lock:
            return self.ask_medium(claim=False)

    # -- reading --------------------------------------------------------------------------------

    def nodes(self, cid: Cid, note: bytes | None = None) -> dict[Cid, Node] | None:
        """The proved nodes of a dag-pb blob (bytes form), None if the tier has none.

        Raises:
            CorruptBlob: What is there is not the nodes of this blob.
        """
        key = cid.nodes_key
        found = self.get(key, None, note)
        if found is None:
            return None
        content = self._bytes_form(key, found)
        try:
            if isinstance(content, bytes):
                return read_nodes(cid, (content,))
            if content.size > MAX_NODES:
                raise MalformedContent(f"the nodes of {cid} are {content.size} bytes")
            with content:
                return read_nodes(cid, content.chunks())
        except (MalformedContent, ContentMismatch, UnsupportedContent) as error:
            raise self.corrupt(key, error.message) from error

    def plain(self, cid: Cid, byte_range: ByteRange | None = None, note: bytes | None = None) -> Blob | None:
        """The plain bytes of a blob, or a range of them (bytes form), unproved; None if absent."""
        key = cid.key
        if byte_range is not None and not self.capabilities.ranges:
            return self._cut(key, byte_range, note)
        found = self.get(key, byte_range, note)
        if found is None:
            return None
        content = self._bytes_form(key, found)
        blob = Blob.of(content) if isinstance(content, bytes) else content
        if byte_range is not None and blob.size != byte_range.length:
            blob.close()
            raise self.corrupt(key, f"gave {blob.size} bytes for a range of {byte_range.length}")
        return blob

    def _cut(self, key: Key, wanted: ByteRange, note: bytes | None) -> Blob | None:
        """A range out of a backend that only gives whole blobs."""
        found = self.get(key, None, note)
        if found is None:
            return None
        content = self._bytes_form(key, found)
        whole = Blob.of(content) if isinstance(content, bytes) else content
        if whole.size < wanted.stop:
            whole.close()
            raise self.corrupt(key, f"holds {whole.size} bytes, but {wanted.stop} are expected")

        def chunks() -> Iterator[memoryview]:
            position = 0
            for chunk in whole.chunks():
                start, stop = wanted.offset - position, wanted.stop - position
                position += len(chunk)
                if stop <= 0:
                    return
                if start < len(chunk):
                    yield memoryview(chunk)[max(0, start) : stop]

        return Blob(wanted.length, chunks, close=whole.close)

    def block(self, cid: Cid, note: bytes | None = None) -> bytes | None:
        """One block by its own CID, unproved: any in the dag form, those of one block else.

        Raises:
            CorruptBlob: What is there is larger than a block can be.
        """
        key = cid.block_key if self.is_dag else cid.key
        found = self.get(key, None, note)
        if found is None or isinstance(found, bytes):
            return found
        if isinstance(found, Dag):
            found.close()
            raise self._fault("get", key, "gave a Dag for one block")
        with found:
            if found.size > MAX_BLOCK:
                raise self.corrupt(key, f"holds {found.size} bytes, more than a block has")
            try:
                return found.read()
            except (ContentMismatch, MalformedContent) as error:
                raise self.corrupt(key, error.message) from error

    def dag(self, cid: Cid, hint: ByteRange | None = None, note: bytes | None = None) -> Dag | None:
        """The pairs of a dag-pb blob (dag form), unproved and perhaps incomplete; None if absent."""
        found = self.get(cid.key, hint if self.capabilities.ranges else None, note)
        if found is None or isinstance(found, Dag):
            return found
        raise self._fault(
            "get", cid.key, f"gave {type(found).__name__} for a whole DAG; the dag form gives a Dag"
        )

    def has(self, cid: Cid) -> bool:
        """True if the tier keeps the blob.

        The plain key is enough, because it is put last. Without it a directory or symlink is held when its
        nodes are; the nodes of a file alone are a torn put.
        """
        if self.has_key(cid.key):
            return True
        if self.is_dag or cid.codec != DAG_PB:
            return False
        nodes = self.nodes(cid)
        return nodes is not None and (top := nodes.get(cid)) is not None and not top.is_file

    def occupied(self, cid: Cid) -> int | None:
        """Payload bytes of whatever is there of a blob, a torn put too; None if there is nothing.

        A tier that keeps it and cannot say how large it is there counts as 0.

        Raises:
            TierError: The tier cannot tell.
        """
        keys = [cid.key] if self.is_dag or cid.codec != DAG_PB else [cid.key, cid.nodes_key]
        found = [stat for stat in map(self.stat_key, keys) if stat is not None]
        if not found:
            return None
        return sum((stat.size or 0) if stat.stored is None else stat.stored for stat in found)

    # -- writing --------------------------------------------------------------------------------

    def put_parcel(self, parcel: Parcel, info: Info | None = None) -> Kept:
        """Keep a whole blob: nodes first, plain last; a failed plain put takes its nodes back."""
        too_large = self._too_large(parcel)
        if too_large is not None:
            raise too_large
        cid = parcel.cid
        if self.is_dag:
            return _kept(parcel, self.put(cid.key, parcel.dag(), info))
        if cid.codec != DAG_PB:
            return _kept(parcel, self.put(cid.key, parcel.plain(), info))
        nodes = parcel.nodes_content()
        if not parcel.has_plain:
            return _kept(parcel, None, self.put(cid.nodes_key, nodes, info), len(nodes))
        had_nodes = self.has_key(cid.nodes_key)
        beside = self.put(cid.nodes_key, nodes, None)
        try:
            stat = self.put(cid.key, parcel.plain(), info)
        except BaseException:
            if not had_nodes:
                self._take_back(cid.nodes_key)
            raise
        return _kept(parcel, stat, beside, len(nodes))

    def put_parcels(self, parcels: Sequence[Parcel]) -> Sequence[Kept | ZigguratError]:
        """Keep several blobs by the backend's `put_many`; in the bytes form their nodes go first, apart.

        Returns:
            For each, in order, what it left, or why it is not kept.

        Raises:
            TierError: Nothing is known of any.
        """
        found: dict[Cid, Kept | ZigguratError] = {
            parcel.cid: error for parcel in parcels if (error := self._too_large(parcel)) is not None
        }
        wanted = [parcel for parcel in parcels if parcel.cid not in found]
        if self.is_dag:
            answers = self.put_all([(parcel.cid.key, parcel.dag(), None) for parcel in wanted])
            for parcel, answer in zip(wanted, answers, strict=True):
                found[parcel.cid] = _kept(parcel, answer) if isinstance(answer, Stat) else answer
            return [found[parcel.cid] for parcel in parcels]
        nodes = {parcel.cid: parcel.nodes_content() for parcel in wanted if parcel.cid.codec == DAG_PB}
        had = {cid for cid in nodes if self.has_key(cid.nodes_key)}
        beside: dict[Cid, Stat] = {}
        answers = self.put_all([(cid.nodes_key, content, None) for cid, content in nodes.items()])
        for cid, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, Stat):
                beside[cid] = answer
            else:
                found[cid] = answer
        plain = [parcel for parcel in wanted if parcel.cid not in found]
        try:
            answers = self.put_all([(parcel.cid.key, parcel.plain(), None) for parcel in plain])
        except BaseException:
            self._take_back_many(
                parcel.cid for parcel in plain if parcel.cid in nodes and parcel.cid not in had
            )
            raise
        for parcel, answer in zip(plain, answers, strict=True):
            if isinstance(answer, Stat):
                size = len(nodes.get(parcel.cid, b""))
                found[parcel.cid] = _kept(parcel, answer, beside.get(parcel.cid), size)
            else:
                found[parcel.cid] = answer
        refused = [cid for cid, one in found.items() if not isinstance(one, Kept)]
        self._take_back_many(cid for cid in refused if cid in nodes and cid not in had)
        return [found[parcel.cid] for parcel in parcels]

    def _take_back_many(self, cids: Iterable[Cid]) -> None:
        for cid in cids:
            self._take_back(cid.nodes_key)

    def _too_large(self, parcel: Parcel) -> BlobTooLarge | None:
        limit = self.capabilities.max_blob
        if limit is None or parcel.size <= limit:
            return None
        return BlobTooLarge(
            f"{parcel.cid} has {parcel.size} bytes; tier {self.name!r} takes at most {limit}", cid=parcel.cid
        )

    def put_nodes(self, cid: Cid, content: bytes) -> bytes | None:
        """Replace the nodes of a blob by ones that were built again; returns their new note."""
        return self.put(cid.nodes_key, content, None).note

    def _take_back(self, key: Key) -> None:
        try:
            self.evict_key(key, None)
        except Exception as error:  # noqa: BLE001 - the put's own error is what matters
            self.log.warning("nodes of a failed put stay behind at %s: %s", key, error)

    def evict_key(self, key: Key, note: bytes | None) -> Evicted:
        """`BackendSpec.evict`."""
        if self.hooks.evict is None:
            raise Unsupported("is read-only", tier=self.name, op="evict", key=key)
        answer = self._call("evict", key, self.hooks.evict, key, note)
        if not isinstance(answer, Evicted | bool):
            raise self._fault(
                "evict", key, f"gave a {type(answer).__name__}; an evict gives a bool or Evicted"
            )
        evicted = answer if isinstance(answer, Evicted) else Evicted(answer)
        if evicted.had:
            self.meter.evictions += 1
        return evicted

    def drop(self, cid: Cid, note: bytes | None = None, nodes_note: bytes | None = None) -> Evicted:
        """Give up the tier's claim to a blob: plain first, nodes last."""
        gone = self.evict_key(cid.key, note)
        if self.is_dag or cid.codec != DAG_PB:
            return gone
        nodes = self.evict_key(cid.nodes_key, nodes_note)
        return Evicted(gone.had or nodes.had, gone.kept or nodes.kept)

    # -- helpers --------------------------------------------------------------------------------

    def corrupt(self, key: str, what: str) -> CorruptBlob:
        """An error that blames this tier's content; counted."""
        self.meter.errors += 1
        return CorruptBlob(what, tier=self.name, op="get", key=key)

    def _bytes_form(self, key: str, found: object) -> bytes | Blob:
        if isinstance(found, bytes | Blob):
            return found
        raise self._fault("get", key, f"gave a {type(found).__name__}; the bytes form gives bytes or a Blob")


def _kept(parcel: Parcel, plain: Stat | None, nodes: Stat | None = None, beside: int = 0) -> Kept:
    """What puts left of a parcel.

    Args:
        parcel: What was put.
        plain: What the put of the plain key returned, None for a blob without plain bytes.
        nodes: What the put of the nodes returned, None where they are no key of their own.
        beside: Bytes of the nodes.
    """
    if plain is None:
        stored = beside
    elif plain.stored is not None:
        stored = plain.stored + beside
    else:
        stored = (parcel.size if beside else parcel.stored) + beside
    return Kept(stored, None if plain is None else plain.note, None if nodes is None else nodes.note)
