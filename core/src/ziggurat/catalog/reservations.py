"""Room on a medium, reserved before a put across processes; and the memory of puts that never ended.

A reservation lives in the volatile part, the bytes in use in the catalog proper. Who reserves holds the
volatile part's write lock, sums the reservations and then reads `used`. A put commits its rows first and
releases afterwards, so a put is counted once or twice, never not at all.

A reservation that names its key outlives its process: what the put left on the medium is unknown, so the
room counts until somebody has looked (`unsettled`), recorded what is there, and released it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ziggurat.catalog.records import Reservation
from ziggurat.catalog.sql import Connection
from ziggurat.catalog.volatile import Volatile

__all__ = ["Reservations"]

_ENDED = 1000
"""Notes of ended puts that may wait to be forgotten."""
_DELETE = "DELETE FROM reservations WHERE id = ?"
_INSERT = "INSERT INTO reservations (medium, bytes, key, owner) VALUES (?, ?, ?, ?) RETURNING id"


class Reservations:
    """The reservations of every process on the media of one catalog.

    Args:
        volatile: Where they are kept.
        used: Gives the committed bytes of a medium by its identity.
    """

    def __init__(self, volatile: Volatile, used: Callable[[str], int]) -> None:
        self._volatile, self._used = volatile, used
        self._ended: deque[int] = deque()

    def reserve(self, medium: str, size: int, capacity: int | None, key: str = "") -> Reservation | None:
        """Reserve room for a put.

        Args:
            medium: Identity of the medium.
            size: Bytes, nodes included.
            capacity: Bytes that the medium may hold, None for no limit.
            key: Plain key of the blob: remembered until it is released, even if this process dies.

        Returns:
            The reservation, or None if used, reserved and wanted bytes exceed the capacity.

        Raises:
            StoreError: The catalog cannot be used.
        """
        if capacity is None:
            return self.note(medium, [(key, size)])[0] if key else Reservation(0, medium, size)

        owner = self._volatile.owner()

        def work(connection: Connection) -> Reservation | None:
            ((reserved,),) = connection.execute(
                "SELECT coalesce(sum(bytes), 0) FROM reservations WHERE medium = ?", (medium,)
            ).fetchall()
            if self._used(medium) + reserved + size > capacity:
                return None
            ((made,),) = connection.execute(_INSERT, (medium, size, key, owner)).fetchall()
            return Reservation(made, medium, size, key, limited=True)

        made = self._volatile.write(work)
        if made is None and size <= capacity:
            self._volatile.reap(force=True)
            made = self._volatile.write(work)
        return made

    def note(self, medium: str, puts: Iterable[tuple[str, int]]) -> list[Reservation]:
        """Note puts that are about to begin on a medium without a limit.

        Args:
            medium: Identity of the medium.
            puts: Plain key and bytes of each.

        Raises:
            StoreError: The catalog cannot be used.
        """
        owner, puts = self._volatile.owner(), list(puts)

        ended = [(self._ended.popleft(),) for _ in range(len(self._ended))]

        def work(connection: Connection) -> list[Reservation]:
            if ended:
                connection.executemany(_DELETE, ended)
            made = []
            for key, size in puts:
                ((row,),) = connection.execute(_INSERT, (medium, size, key, owner)).fetchall()
                made.append(Reservation(row, medium, size, key))
            return made

        return self._volatile.write(work)

    def release(self, reservations: Iterable[Reservation]) -> None:
        """Give reserved room back; harmless when repeated.

        A note on a medium without a limit holds no room, and one that outlives its put says nothing wrong: it
        goes with the next note, in one transaction.

        Args:
            reservations: What `reserve` returned.

        Raises:
            StoreError: The catalog cannot be used.
        """
        reservations = list(reservations)
        self._each(_DELETE, [one for one in reservations if one.limited])
        self._ended.extend(one.id for one in reservations if one.id and not one.limited)
        if len(self._ended) > _ENDED:
            self.flush()

    def flush(self) -> None:
        """Forget the notes of puts that have ended.

        Raises:
            StoreError: The catalog cannot be used.
        """
        ended = [(self._ended.popleft(),) for _ in range(len(self._ended))]
        if ended:
            self._volatile.write(lambda connection: connection.executemany(_DELETE, ended))

    def abandon(self, reservations: Iterable[Reservation]) -> None:
        """Leave it to others to look for what failed puts left on their medium.

        Args:
            reservations: What `reserve` returned.

        Raises:
            StoreError: The catalog cannot be used.
        """
        self._each("UPDATE reservations SET owner = 0 WHERE id = ?", reservations)

    def _each(self, statement: str, reservations: Iterable[Reservation]) -> None:
        ids = [(reservation.id,) for reservation in reservations if reservation.id]
        if ids:
            self._volatile.write(lambda connection: connection.executemany(statement, ids))

    def unsettled(self, medium: str, *, alone: bool = False) -> list[Reservation]:
        """Puts that ended nobody knows how.

        Args:
            medium: Identity of the medium.
            alone: No put is under way anywhere, so whatever is noted has ended.

        Raises:
            StoreError: The catalog cannot be used.
        """
        self.flush()
        self._volatile.reap(force=True)
        with self._volatile.guard:
            found = self._volatile.execute(
                "SELECT id, medium, bytes, key FROM reservations "
                "WHERE medium = ? AND key <> '' AND (owner = 0 OR ?) ORDER BY id",
                (medium, alone),
            ).fetchall()
        return [Reservation(number, medium, size, key, limited=True) for number, medium, size, key in found]

    def reserved(self, medium: str) -> int:
        """Bytes that puts under way have reserved on a medium, and those that nobody has settled yet."""
        self.flush()
        with self._volatile.guard:
            ((reserved,),) = self._volatile.execute(
                "SELECT coalesce(sum(bytes), 0) FROM reservations WHERE medium = ?", (medium,)
            ).fetchall()
        return int(reserved)
