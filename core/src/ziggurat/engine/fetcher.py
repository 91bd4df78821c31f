"""Fetches as readers ask for them: of several blocks of a file, or of a blob that is one block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from ziggurat.content import Cid
from ziggurat.content.layout import Layout, Want
from ziggurat.engine.fetch import Fetch
from ziggurat.engine.flights import Flight
from ziggurat.engine.places import Place
from ziggurat.engine.session import Session, Value
from ziggurat.engine.supplies import Supplies
from ziggurat.errors import TierError
from ziggurat.tiers import StoreTier

__all__ = ["Fetcher"]


class Fetcher(Supplies):
    """Fetches what no cache has."""

    def fetch(self, session: Session, wants: Iterable[Want], mine: dict[Cid, Flight]) -> dict[Cid, Value]:
        """Fetch the blocks of own flights and end every one of them.

        Args:
            session: The read that wants them.
            wants: In order; several may be of one block (its places are filled each).
            mine: The own flights; empty afterwards.

        Raises:
            BlobNotFound: Every tier answered, and some block is nowhere.
            StoreUnavailable: Some block is nowhere, and some tier could not answer.
        """
        return Fetch(self, session, [want for want in wants if want.cid in mine], mine).run()

    def lone(self, cid: Cid, flight: Flight) -> bytes:
        """Fetch a blob that is one block of its own, and end its flight.

        Where the first tier is simply asked and simply answers, nothing of what files need is set up.

        Raises:
            BlobNotFound, StoreUnavailable: As `fetch`.
        """
        failures: list[Exception] = []
        asked: StoreTier | None = None
        try:
            place = self.places.first(cid, failures)
            if place is not None and not place.tier.is_dag:
                asked = place.tier
                block = self._simply(place, cid, failures)
                if block is not None:
                    above = self.caches.above(asked.name)
                    if above:
                        self.caches.admit(cid.cache_key, block, above)
                    self.flights.land_block(cid.cache_key, flight, block)
                    for failure in failures:
                        self.failures.note(failure)
                    return block
        except BaseException as error:
            self.flights.fail(cid.cache_key, flight, error if isinstance(error, Exception) else None)
            raise
        rest = Fetch(self, Session(Layout(cid)), [Want(0, None, cid)], {cid: flight})
        return bytes(cast("bytes", rest.run(failures, asked)[cid]))  # such a block is never a node

    def _simply(self, place: Place, cid: Cid, failures: list[Exception]) -> bytes | None:
        """The proved block of a lone blob, None if the tier does not hold it or failed."""
        try:
            block = place.tier.block(cid, place.note)
            if block is None:
                self.places.absent(place, cid)
                return None
            if cid.matches(block):
                return block
            raise place.tier.corrupt(cid.key, f"holds bytes that are not those of {cid}")
        except TierError as error:
            failures.append(error)
            return None
