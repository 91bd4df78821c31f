"""Flights: one fetch of a block that every reader of the block shares."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ziggurat.content import Cid

__all__ = ["Flight", "Flights"]


class Flight:
    """A fetch under way.

    Attributes:
        root: The blob for which it was opened.
        block: The proved block, once it landed and somebody waited for it.
        landed: Set when it ended; made when somebody joins, for most flights have one reader.
        error: Why it did not land, where every tier was asked for just this block: another reader of the
            same blob would hear the same. None for a flight that ended for another reason.
    """

    # Class attributes, because one is made for each block that is read and few get any other value.
    block: bytes | None = None
    error: Exception | None = None
    landed: threading.Event | None = None

    def __init__(self, root: Cid) -> None:
        self.root = root

    def wait(self) -> None:
        """Return when the flight has landed or failed; only for one that was joined."""
        if self.landed is not None:
            self.landed.wait()


class Flights:
    """The fetches under way in one store, by cache key.

    Nearly every flight has one reader, who pays for no lock: each step is one operation on a dictionary, or
    an addition that the interpreter does not interrupt. Who joins says so first and then looks again whether
    the flight is still open; who ends it takes it away first and then looks whether somebody joined.
    """

    def __init__(self) -> None:
        self._joining = threading.Lock()
        self._open: dict[str, Flight] = {}
        self.landings = 0
        """How many flights have ended: unchanged between two looks means nothing can have been cached."""

    def claim(self, key: str, root: Cid) -> tuple[Flight, bool]:
        """Open a flight, or join the one that is open.

        Args:
            key: The block's cache key.
            root: The blob that the caller reads.

        Returns:
            The flight, and True if the caller owns it and must end it.
        """
        mine = Flight(root)
        while (flight := self._open.setdefault(key, mine)) is not mine:
            with self._joining:
                if flight.landed is None:
                    flight.landed = threading.Event()
            if self._open.get(key) is flight:
                return flight, False
        return mine, True

    def land(self, key: str, flight: Flight, block: Callable[[], bytes]) -> None:
        """End an own flight with its proved block, which is built only when somebody waits for it."""
        joined = self._end(key, flight)
        if joined is not None:
            try:
                flight.block = block()
            finally:
                joined.set()

    def land_block(self, key: str, flight: Flight, block: bytes) -> None:
        """End an own flight with its proved block, which is at hand."""
        joined = self._end(key, flight)
        if joined is not None:
            flight.block = block
            joined.set()

    def fail(self, key: str, flight: Flight, error: Exception | None = None) -> None:
        """End an own flight without a block; `error` as in `Flight`."""
        flight.error = error
        joined = self._end(key, flight)
        if joined is not None:
            joined.set()

    def _end(self, key: str, flight: Flight) -> threading.Event | None:
        self.landings += 1  # first: whoever finds no flight any more is to see that one has landed
        if self._open.get(key) is flight:
            del self._open[key]
        return flight.landed
