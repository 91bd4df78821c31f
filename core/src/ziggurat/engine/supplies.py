"""What every fetch of a store shares."""

from __future__ import annotations

from concurrent.futures import Executor

from ziggurat.engine.caches import CacheStack
from ziggurat.engine.events import Failures
from ziggurat.engine.flights import Flights
from ziggurat.engine.places import Places
from ziggurat.engine.repair import Repair
from ziggurat.engine.session import Layouts

__all__ = ["Supplies"]


class Supplies:
    """What every fetch of a store shares.

    Args:
        places: Which tiers to ask, in which order.
        caches: Where proved blocks go.
        flights: Who else waits for them.
        layouts: Trees of blobs that are known.
        repair: Builds lost nodes again; None to repair nothing.
        failures: Where failures are noted that another tier made good.
        hashers: Threads that read and prove.
        askers: Threads that wait for remote tiers.
    """

    def __init__(
        self,
        places: Places,
        caches: CacheStack,
        flights: Flights,
        layouts: Layouts,
        repair: Repair | None,
        failures: Failures,
        hashers: Executor,
        askers: Executor,
    ) -> None:
        self.places, self.caches, self.flights, self.layouts = places, caches, flights, layouts
        self.repair, self.failures, self.hashers, self.askers = repair, failures, hashers, askers
