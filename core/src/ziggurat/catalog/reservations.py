"""Room on a medium, reserved before a put across processes.

A reservation lives in the volatile part, the bytes in use in the catalog proper. Who reserves holds the
volatile part's write lock, sums the reservations and then reads `used`. A put commits its rows first and
releases afterwards, so a put is counted once or twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ziggurat.catalog.records import Reservation
from ziggurat.catalog.sql import Connection
from ziggurat.catalog.volatile import Volatile

__all__ = ["Reservations"]


class Reservations:
    """The reservations of every process on the media of one catalog.

    Args:
        volatile: Where they are kept.
        used: Gives the committed bytes of a medium by its identity.
    """

    def __init__(self, volatile: Volatile, used: Callable[[str], int]) -> None:
        self._volatile, self._used = volatile, used

    def reserve(self, medium: str, size: int, capacity: int | None) -> Reservation | None:
        """Reserve room for a put.

        Args:
            medium: Identity of the medium.
            size: Bytes, nodes included.
            capacity: Bytes that the medium may hold, None for no limit.

        Returns:
            The reservation, or None if used, reserved and wanted bytes exceed the capacity.

        Raises:
            StoreError: The catalog cannot be used.
        """
        if capacity is None:
            return Reservation(0, medium, size)

        owner = self._volatile.owner()

        def work(connection: Connection) -> Reservation | None:
            ((reserved,),) = connection.execute(
                "SELECT coalesce(sum(bytes), 0) FROM reservations WHERE medium = ?", (medium,)
            ).fetchall()
            if self._used(medium) + reserved + size > capacity:
                return None
            ((made,),) = connection.execute(
                "INSERT INTO reservations (medium, bytes, owner) VALUES (?, ?, ?) RETURNING id",
                (medium, size, owner),
            ).fetchall()
            return Reservation(made, medium, size)

        made = self._volatile.write(work)
        if made is None and size <= capacity:
            self._volatile.reap(force=True)
            made = self._volatile.write(work)
        return made

    def release(self, reservations: Iterable[Reservation]) -> None:
        """Give reserved room back; harmless when repeated.

        Args:
            reservations: What `reserve` returned.

        Raises:
            StoreError: The catalog cannot be used.
        """
        ids = [(reservation.id,) for reservation in reservations if reservation.id]
        if ids:
            self._volatile.write(
                lambda connection: connection.executemany("DELETE FROM reservations WHERE id = ?", ids)
            )

    def reserved(self, medium: str) -> int:
        """Bytes that puts under way have reserved on a medium."""
        with self._volatile.guard:
            ((reserved,),) = self._volatile.execute(
                "SELECT coalesce(sum(bytes), 0) FROM reservations WHERE medium = ?", (medium,)
            ).fetchall()
        return int(reserved)
