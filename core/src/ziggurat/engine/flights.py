"""Flights: one fetch of a block that every reader of the block shares."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Flight", "Flights"]


class Flight:
    """A fetch under way.

    Attributes:
        block: The proved block, once it landed and somebody waited for it.
        error: Why it did not land.
        landed: Set when it ended; made when somebody joins, for most flights have one reader.
    """

    __slots__ = ("block", "error", "landed")

    def __init__(self) -> None:
        self.landed: threading.Event | None = None
        self.block: bytes | None = None
        self.error: BaseException | None = None

    def wait(self) -> None:
        """Return when the flight has landed or failed; only for one that was joined."""
        if self.landed is not None:
            self.landed.wait()


class Flights:
    """The fetches under way in one store, by cache key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Flight] = {}
        self.landings = 0
        """How many flights have ended: unchanged between two looks means nothing can have been cached."""

    def claim(self, key: str) -> tuple[Flight, bool]:
        """Open a flight, or join the one that is open.

        Returns:
            The flight, and True if the caller owns it and must end it.
        """
        with self._lock:
            flight = self._open.get(key)
            if flight is None:
                flight = self._open[key] = Flight()
                return flight, True
            if flight.landed is None:
                flight.landed = threading.Event()
            return flight, False

    def land(self, key: str, flight: Flight, block: Callable[[], bytes]) -> None:
        """End an own flight with its proved block, which is built only when somebody waits for it."""
        joined = self._end(key, flight)
        if joined is not None:
            try:
                flight.block = block()
            except BaseException as error:
                flight.error = error
                raise
            finally:
                joined.set()

    def fail(self, key: str, flight: Flight, error: BaseException) -> None:
        """End an own flight without a block."""
        joined = self._end(key, flight)
        flight.error = error
        if joined is not None:
            joined.set()

    def _end(self, key: str, flight: Flight) -> threading.Event | None:
        with self._lock:
            if self._open.get(key) is flight:
                del self._open[key]
            self.landings += 1
            return flight.landed
