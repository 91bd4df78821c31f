"""One fetch: wanted blocks out of the store tiers, proved and handed on, from tier to tier."""

from __future__ import annotations

from contextlib import closing

from ziggurat.backend import ByteRange
from ziggurat.content import DAG_PB, MAX_BLOCK, Cid, Node, proves_leaf
from ziggurat.content.layout import Want
from ziggurat.engine.flights import Flight
from ziggurat.engine.places import Place
from ziggurat.engine.runs import proved_leaves, runs_of
from ziggurat.engine.session import Session, Value
from ziggurat.engine.supplies import Supplies
from ziggurat.engine.values import block_of, node_value, value_of
from ziggurat.errors import (
    BlobNotFound,
    ContentMismatch,
    CorruptBlob,
    StoreUnavailable,
    TierError,
)
from ziggurat.tiers import StoreTier

__all__ = ["Fetch"]

_EARLY_BYTES = 8 << 20
"""Bytes of a DAG stream that are taken before they are wanted."""


class Fetch:
    """One fetch; the state of `Fetcher.fetch`."""

    def __init__(
        self, shared: Supplies, session: Session, wants: list[Want], mine: dict[Cid, Flight]
    ) -> None:
        self._shared, self._session, self._wants, self._mine = shared, session, wants, mine
        self._layout, self._root = session.layout, session.root
        self._out: dict[Cid, Value] = {}
        self._above = 0
        self._told_by = ""
        """The tier that gave the nodes of the layout in this fetch."""
        self._suspect = self._broke_off = self._doubted = False

    def run(
        self, failures: list[Exception] | None = None, asked: StoreTier | None = None
    ) -> dict[Cid, Value]:
        """Ask tier after tier; see `Fetcher.fetch`.

        Args:
            failures: What went wrong before.
            asked: A tier that had its turn already.
        """
        shared, mine = self._shared, self._mine
        failures = [] if failures is None else failures
        error: Exception | None = None
        try:
            self._ask_all(failures, asked)
            if mine:
                error = self._missing(failures)
                raise error
        finally:
            # In the order of the bytes, so that the first is the one which no tier could give.
            for want in self._wants:
                flight = mine.pop(want.cid, None)
                if flight is not None:
                    shared.flights.fail(want.cid.cache_key, flight, error)
                    error = None
        for failure in failures:
            shared.failures.note(failure)
        return self._out

    def _ask_all(self, failures: list[Exception], before: StoreTier | None) -> None:
        """Give every tier its turn; as long as blocks arrive, those that lie behind a wrong one another."""
        mine, asked = self._mine, list[Place]()
        left = len(mine)
        for place in self._shared.places.of(self._root, failures):
            asked.append(place)
            if place.tier is not before:
                self._ask(place, failures)
            if not mine:
                return
        while len(asked) > 1 and len(mine) < left:
            left = len(mine)
            for place in asked:
                self._ask(place, failures)
                if not mine:
                    return

    def _missing(self, failures: list[Exception]) -> Exception:
        failures.extend(self._shared.places.elsewhere(self._root))
        if failures:
            return StoreUnavailable(
                f"{self._root} could not be read whole: a tier could not answer, or gave wrong bytes",
                failures=list({str(failure): failure for failure in failures}.values()),
                cid=self._root,
            )
        lacking = next(want.cid for want in self._wants if want.cid in self._mine)
        what = f"{self._root}" if lacking == self._root else f"the block {lacking} of {self._root}"
        return BlobNotFound(f"{what} is on no tier of this stack", cid=self._root)

    def _ask(self, place: Place, failures: list[Exception]) -> None:
        """One tier's turn: again after a body broke off, and after a repair."""
        tier = place.tier
        attempts, repaired = tier.guard.attempts, False
        self._above = self._shared.caches.above(tier.name)
        self._doubted = False
        while self._mine:
            left = len(self._mine)
            about_root = self._root in self._mine
            self._suspect = self._broke_off = False
            try:
                if tier.is_dag:
                    self._from_dag(place)
                else:
                    self._from_bytes(place)
            except CorruptBlob as error:
                failures.append(error)
                if not self._suspect:
                    return
                stale = self._told_by != tier.name and self._layout.complete
                if stale or repaired or not self._repair(place):
                    # What one tier said of the tree is not what another is measured by.
                    self._layout.complete = False
                    self._shared.layouts.forget(self._root)
                    if not stale:
                        return
                    self._doubted = True  # only its own word counts now
                else:
                    repaired = True
            except TierError as error:
                failures.append(error)
                attempts -= 1
                # A call that failed was repeated by the guard; what a body had left is fetched here.
                if attempts < 1 or not error.retryable or error.retry_after is not None:
                    return
                if not self._broke_off and len(self._mine) == left:
                    return
            else:
                if left == len(self._mine) and (about_root or not tier.is_dag):
                    self._shared.places.absent(place, self._root)
                return

    def _repair(self, place: Place) -> bool:
        repair = self._shared.repair
        return repair is not None and not place.tier.is_dag and repair.nodes(place, self._layout)

    def _nodes_suspect(self, place: Place, what: str) -> CorruptBlob:
        """An error after which the nodes are built again before the bytes are blamed."""
        self._suspect = True
        return place.tier.corrupt(self._root.nodes_key, what)

    # -- a block arrives --------------------------------------------------------------------------

    def _land(self, cid: Cid, block: bytes | None, value: Value) -> None:
        """Hand on a proved block: to the caches, to who waits, to the read.

        Args:
            cid: The block's CID.
            block: The block itself, or None for a leaf of which only the plain bytes are at hand.
            value: The node, or the plain bytes of the leaf.
        """
        flight = self._mine.pop(cid)
        shared = self._shared

        def build() -> bytes:
            nonlocal block
            if block is None:
                block = block_of(cid, value)
            return block

        try:
            if self._above:
                size = len(value.block) if isinstance(value, Node) else len(value)
                if shared.caches.takes(size):
                    shared.caches.admit(cid.cache_key, build(), self._above)
        finally:
            # Whatever a cache does, nobody is left waiting.
            self._out[cid] = value
            shared.flights.land(cid.cache_key, flight, build)

    def _land_block(self, cid: Cid, block: bytes) -> None:
        self._land(cid, block, value_of(self._session, cid, block))

    # -- dag form ---------------------------------------------------------------------------------

    def _from_dag(self, place: Place) -> None:
        tier = place.tier
        if self._streams(place):
            self._session.streamed.add(tier.name)
            self._take_stream(place)
        wanted = list(self._mine)
        ask = self._shared.askers.map if len(wanted) > 1 and tier.remote else map
        failure: Exception | None = None
        for cid, block, error in ask(lambda cid: _ask_block(place, cid), wanted):
            if error is not None:
                failure = error
            elif block is not None:
                self._land_block(cid, block)
        if failure is not None:
            raise failure

    def _streams(self, place: Place) -> bool:
        """True if the pairs of the whole DAG, or of a range, are worth asking for."""
        session = self._session
        if self._root.codec != DAG_PB or place.tier.name in session.streamed:
            return False
        if session.whole:
            return self._root in self._mine
        return place.tier.capabilities.ranges and len(self._mine) > 1 and self._hint() is not None

    def _hint(self) -> ByteRange | None:
        """The range that is wanted, inside the file; None while the file's size is not known."""
        session, top = self._session, self._layout.top
        if top is None or session.stop is None:
            return None
        stop = min(session.stop, top.size)
        return ByteRange(session.start, stop - session.start) if stop > session.start else None

    def _take_stream(self, place: Place) -> None:
        """Take the first pairs of a DAG: what is wanted now, and a window's worth of what follows."""
        session, shared = self._session, self._shared
        dag = place.tier.dag(self._root, self._hint(), place.note)
        if dag is None:
            return
        taken = 0
        arrived: dict[Cid, bytes] = {}
        try:
            for cid, block in dag.pairs():
                if len(block) > MAX_BLOCK or not cid.matches(block):
                    raise place.tier.corrupt(self._root.key, f"gave a block that fails its proof: {cid}")
                taken += len(block)
                if cid in self._mine:
                    arrived[cid] = block
                else:
                    session.early[cid] = block
                    if self._above and shared.caches.takes(len(block)):
                        shared.caches.admit(cid.cache_key, block, self._above)
                if taken >= _EARLY_BYTES:
                    break
        except TierError:
            self._broke_off = True
            raise
        finally:
            dag.close()
            # Last, so that who waits for the root finds in the caches what came with it.
            for cid, block in arrived.items():
                self._land_block(cid, block)

    # -- bytes form -------------------------------------------------------------------------------

    def _from_bytes(self, place: Place) -> None:
        layout, session = self._layout, self._session
        if self._root.codec != DAG_PB:
            for cid in list(self._mine):
                self._whole_block(place, cid)
            return
        if not layout.complete and not self._learn(place):
            return
        known = layout.nodes
        for cid in [cid for cid in self._mine if cid in known]:
            node = known[cid]
            self._land(cid, node.block, node_value(session, node))
        if not self._mine:
            return
        top = layout.top
        if top is None:
            self._whole_leaf(place)
            return
        if not top.is_file:
            raise self._nodes_suspect(place, f"lacks a node of {self._root}")
        wants = sorted((want for want in self._wants if want.cid in self._mine), key=lambda want: want.offset)
        lost = next((want for want in wants if want.size is None or want.size > MAX_BLOCK), None)
        for run in runs_of(wants if lost is None else wants[: wants.index(lost)]):
            self._read_run(place, run)
        if lost is not None and lost.cid in self._mine:
            raise self._nodes_suspect(place, f"lacks the node {lost.cid}: no leaf is so large")

    def _learn(self, place: Place) -> bool:
        """Read the blob's nodes from this tier; False if it does not hold the blob."""
        known = self._shared.layouts.of(self._root)
        if known.complete and known is not self._layout and not self._doubted:
            self._layout.nodes.update(known.nodes)  # another reader was faster
            self._layout.complete = True
            return True
        self._told_by = place.tier.name
        try:
            nodes = place.tier.nodes(self._root, place.nodes_note)
        except CorruptBlob:
            self._suspect = True
            raise
        if nodes is None:
            if place.tier.has_key(self._root.key):
                raise self._nodes_suspect(place, "has the bytes, but their nodes are missing")
            return False
        self._layout.nodes.update(nodes)
        self._layout.complete = True
        self._shared.layouts.keep(self._layout)
        return True

    def _whole_block(self, place: Place, cid: Cid) -> None:
        """A block of a codec that is not dag-pb: the plain key holds just it."""
        block = place.tier.block(cid, place.note)
        if block is None:
            return
        if not cid.matches(block):
            raise place.tier.corrupt(cid.key, f"holds bytes that are not those of {cid}")
        self._land(cid, block, block)

    def _whole_leaf(self, place: Place) -> None:
        """A dag-pb blob that is one leaf: its plain bytes are the plain key's."""
        blob = place.tier.plain(self._root, None, place.note)
        if blob is None:
            return
        with blob:
            if blob.size > MAX_BLOCK:
                raise self._nodes_suspect(
                    place, f"lacks the nodes of {blob.size} bytes, more than a leaf has"
                )
            try:
                data = blob.read()
            except ContentMismatch as error:
                raise place.tier.corrupt(self._root.key, error.message) from error
        if not proves_leaf(self._root, data):
            self._suspect = True
            raise place.tier.corrupt(self._root.key, f"holds bytes that are not those of {self._root}")
        self._land(self._root, None, data)

    def _read_run(self, place: Place, run: list[Want]) -> None:
        session = self._session
        start = run[0].offset
        size = run[-1].offset + (run[-1].size or 0) - start
        top = self._layout.top
        whole = top is not None and start == 0 and size == top.size
        blob = place.tier.plain(self._root, None if whole else ByteRange(start, size), place.note)
        if blob is None:
            return
        try:
            if blob.size != size:
                raise place.tier.corrupt(self._root.key, f"has {blob.size} bytes where the blob has {size}")
            room = session.target.slot(start, size) if session.target is not None else None
            placed = room is not None
            view = room if room is not None else memoryview(bytearray(size))
            with closing(proved_leaves(place.tier, blob, run, view, self._shared.hashers)) as proved:
                for want, data, good in proved:
                    if not good:
                        lie = place.tier.corrupt(
                            self._root.key, f"holds wrong bytes at {want.offset}, in the leaf {want.cid}"
                        )
                        if want.cid not in self._mine:
                            # The same leaf proved at another place of the file.
                            self._shared.failures.note(lie)
                            continue
                        self._suspect = want.cid.codec == DAG_PB  # it may be a node that is taken for a leaf
                        raise lie
                    if placed and session.target is not None:
                        session.target.placed(want.offset)
                    if want.cid in self._mine:
                        self._land(want.cid, None, data)
        except TierError:
            self._broke_off = True
            raise
        finally:
            blob.close()


def _ask_block(place: Place, cid: Cid) -> tuple[Cid, bytes | None, Exception | None]:
    try:
        block = place.tier.block(cid, place.note)
        if block is not None and (len(block) > MAX_BLOCK or not cid.matches(block)):
            raise place.tier.corrupt(cid.block_key, f"gave a block that is not {cid}")
    except TierError as error:
        return cid, None, error
    return cid, block, None
