"""What is about to be put: noted before the first byte, so that no crash leaves bytes that nobody counts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ziggurat.catalog import Catalog, CopyRow, Reservation
from ziggurat.content import Cid, as_key
from ziggurat.engine.places import Places
from ziggurat.errors import TierTimeout, ZigguratError
from ziggurat.tiers import StoreTier

__all__ = ["Intents"]


class Intents:
    """Puts under way on the stores of a stack.

    A put is noted with its room, and forgotten in the step that records its row. One that failed or whose
    process died is *settled*: the tier is asked what is there, and what is there gets a row without a root,
    so that `gc` frees it and the accounts are right.

    Args:
        places: The store tiers.
        catalog: What is where.
    """

    def __init__(self, places: Places, catalog: Catalog) -> None:
        self._places, self._catalog = places, catalog

    def begin(self, tier: StoreTier, medium: str, cid: Cid, size: int) -> Reservation | None:
        """Note a put and reserve its room.

        Args:
            tier: Where.
            medium: Identity of its medium.
            cid: What.
            size: Payload bytes, nodes included.

        Returns:
            None if the tier's capacity leaves no room.
        """
        book, capacity = self._catalog.reservations, tier.config.capacity
        made = book.reserve(medium, size, capacity, str(cid.key))
        if made is None and size <= (capacity or 0) and (left := book.unsettled(medium)):
            self.settle(tier, left)
            made = book.reserve(medium, size, capacity, str(cid.key))
        return made

    def begin_many(self, medium: str, puts: Sequence[tuple[Cid, int]]) -> list[Reservation]:
        """Note several puts at once, on a medium without a capacity."""
        return self._catalog.reservations.note(medium, [(str(cid.key), size) for cid, size in puts])

    def failed(self, tier: StoreTier, noted: Sequence[Reservation], error: BaseException) -> None:
        """Settle puts that raised, now or (when the tier cannot tell) at the next opportunity."""
        if not isinstance(error, TierTimeout):  # a call that was left behind may still publish
            with suppress(ZigguratError):
                self.settle(tier, noted)
                return
        with suppress(ZigguratError):  # without it they are settled once this process has ended
            self._catalog.reservations.abandon(noted)

    def settle(self, tier: StoreTier, noted: Sequence[Reservation]) -> None:
        """Record what puts that have ended left on their medium.

        Raises:
            TierError: The tier cannot tell; nothing was settled.
            StoreError: The catalog cannot be used.
        """
        rows = []
        for one in noted:
            cid = as_key(one.key).cid
            known = self._places.rows(cid).get(one.medium)
            if known is None or known.under is not None:
                stored = tier.occupied(cid)
                if stored is not None:
                    rows.append(CopyRow(one.key, one.medium, stored or one.size))
        self._catalog.record_put((), rows, reservations=noted)

    def settle_all(self, tier: StoreTier, medium: str) -> None:
        """Settle every put on a medium; only while none can be under way.

        Raises:
            TierError: The tier cannot tell.
            StoreError: The catalog cannot be used.
        """
        left = self._catalog.reservations.unsettled(medium, alone=True)
        if left:
            self.settle(tier, left)
