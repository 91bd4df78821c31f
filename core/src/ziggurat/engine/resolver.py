"""Blocks: from caches, from other readers' fetches, from the tiers; each fetched once for all who want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import cast

from ziggurat.content import Cid, Node
from ziggurat.content.layout import Layout, Want
from ziggurat.engine.fetcher import Fetcher
from ziggurat.engine.flights import Flight
from ziggurat.engine.session import Session, Value
from ziggurat.engine.values import value_of
from ziggurat.errors import StoreError

__all__ = ["Resolver"]


class Resolver:
    """Gets proved blocks.

    Args:
        fetcher: Gets what is nowhere near; its caches, flights and threads are used here too.
        log: Told the key and the bytes of every block that was asked for, None to record nothing.
    """

    def __init__(self, fetcher: Fetcher, log: Callable[[str, int], object] | None = None) -> None:
        self._log = log
        self._fetcher, self._caches = fetcher, fetcher.caches
        self._flights, self._hashers = fetcher.flights, fetcher.hashers
        self._retired = ""

    def retire(self, why: str) -> None:
        """End every read: the next step of each raises StoreError."""
        self._retired = why

    def check(self) -> None:
        """Raise StoreError once the store is closed."""
        if self._retired:
            raise StoreError(self._retired)

    @property
    def far(self) -> bool:
        """True if some tier is asked over a network."""
        places = self._fetcher.places
        return any(tier.remote for tier in (*places.stores, *places.sources))

    def lone(self, cid: Cid) -> bytes:
        """A blob that is one block of its own: `resolve` without what only files need."""
        if self._retired:
            self.check()
        block = self._lone(cid)
        if self._log is not None:
            self._log(cid.cache_key, len(block))
        return block

    def _lone(self, cid: Cid) -> bytes:
        caches, flights = self._caches, self._flights
        landings = flights.landings
        if caches.caches and (block := caches.lookup(cid)) is not None:
            return block
        flight, own = flights.claim(cid.cache_key, cid)
        if not own:
            found = self._resolve(Session(Layout(cid)), [Want(0, None, cid)])[cid]
            return bytes(cast("bytes", found))  # a block that is not dag-pb is never a node
        if flights.landings != landings and caches:
            # A flight may have ended between the look into the caches and the claim.
            try:
                block = caches.lookup(cid)
            except BaseException:
                flights.fail(cid.cache_key, flight, None)
                raise
            if block is not None:
                flights.land_block(cid.cache_key, flight, block)
                return block
        return self._fetcher.lone(cid, flight)

    def resolve(self, session: Session, wants: Sequence[Want]) -> dict[Cid, Value]:
        """Get proved blocks: from what came early, caches, other readers' flights, then the tiers.

        Own flights are ended before it waits for anybody else's, so readers cannot wait in a circle.

        Raises:
            BlobNotFound, StoreUnavailable: As `Fetcher.fetch`.
        """
        out = self._resolve(session, wants)
        if self._log is not None:
            for cid, value in out.items():
                self._log(cid.cache_key, len(value.block) if isinstance(value, Node) else len(value))
        return out

    def _resolve(self, session: Session, wants: Sequence[Want]) -> dict[Cid, Value]:
        out: dict[Cid, Value] = {}
        left = list(wants)
        while left:
            self.check()
            failed = self._attempt(session, left, out)
            # What another reader could not get for its own blob may be on the tiers of this one.
            left = [want for want in left if want.cid in failed]
        return out

    def _attempt(self, session: Session, wants: Sequence[Want], out: dict[Cid, Value]) -> set[Cid]:
        """Get each wanted block once; returns those whose flights of other readers ended without them."""
        mine: dict[Cid, Flight] = {}
        joined: dict[Cid, Flight] = {}
        landings = self._flights.landings
        try:
            for cid, value in self._near(session, wants):
                if value is not None:
                    out[cid] = value
                    continue
                flight, own = self._flights.claim(cid.cache_key, session.root)
                (mine if own else joined)[cid] = flight
            if mine and self._caches and self._flights.landings != landings:
                # A flight may have ended between the look into the caches and the claim.
                for cid in list(mine):
                    block = self._caches.lookup(cid)
                    if block is not None:
                        out[cid] = value_of(session, cid, block)
                        self._flights.land_block(cid.cache_key, mine.pop(cid), block)
            if mine:
                out.update(self._fetcher.fetch(session, wants, mine))
        finally:
            for cid, flight in mine.items():
                self._flights.fail(cid.cache_key, flight)
        failed = set()
        for cid, flight in joined.items():
            flight.wait()
            if flight.block is not None:
                out[cid] = value_of(session, cid, flight.block)
            elif flight.error is not None and flight.root == session.root:
                raise copy(flight.error)  # every tier was just asked for this very block
            else:
                failed.add(cid)
        return failed

    def _near(self, session: Session, wants: Sequence[Want]) -> Iterator[tuple[Cid, Value | None]]:
        """Each wanted block once, with its value if it came early or a cache has it."""
        unique = {want.cid: want for want in wants}
        if not self._caches:
            for cid in unique:
                early = session.early.pop(cid, None)
                yield cid, None if early is None else value_of(session, cid, early)
            return
        several = len(unique) > 1 and self._caches.slow
        look = self._hashers.map if several else map
        yield from look(lambda want: (want.cid, self._cached(session, want)), unique.values())

    def _cached(self, session: Session, want: Want) -> Value | None:
        cid = want.cid
        block = session.early.pop(cid, None)
        if block is None:
            block = self._caches.lookup(cid)
            if block is None:
                return None
        value = value_of(session, cid, block)
        target = session.target
        if (
            target is not None
            and want.size is not None
            and not isinstance(value, Node)
            and len(value) == want.size
        ):
            # Copied by the thread that proved it, while others prove.
            slot = target.slot(want.offset, want.size)
            if slot is not None:
                slot[:] = value
                target.placed(want.offset)
                return slot  # and let the block go: a large read would hold its bytes twice
        return value
