"""How often and when each blob was asked for: a bounded memory, unsynced."""

from __future__ import annotations

from collections.abc import Mapping

from ziggurat.catalog.records import Access
from ziggurat.catalog.sql import Connection
from ziggurat.catalog.volatile import Volatile

__all__ = ["Accesses"]


class Accesses:
    """Access counts by key.

    Args:
        volatile: Where they are kept.
        limit: Keys to remember; beyond it those asked for longest ago are forgotten.
    """

    def __init__(self, volatile: Volatile, limit: int = 1_000_000) -> None:
        self._volatile, self._limit = volatile, limit
        self._slack = max(limit // 20, 1)  # trimming sorts the whole table, so it is done rarely
        self._since = self._slack  # what this process added since it last looked; look at the first batch

    def count(self, batch: Mapping[str, tuple[int, float]]) -> None:
        """Add a batch of accesses.

        Args:
            batch: By key, the number of accesses and the time of the last one (seconds since the epoch).

        Raises:
            StoreError: The catalog cannot be used.
        """

        def work(connection: Connection) -> None:
            connection.executemany(
                "INSERT INTO accesses (key, count, last, first) VALUES (?1, ?2, ?3, ?3) "
                "ON CONFLICT (key) DO UPDATE "
                "SET count = count + excluded.count, last = max(last, excluded.last), "
                "first = min(first, excluded.first)",
                [(key, count, last) for key, (count, last) in batch.items()],
            )
            self._since += len(batch)
            if self._since >= self._slack:
                self._since = 0
                self._trim(connection)

        if batch:
            self._volatile.write(work)

    def _trim(self, connection: Connection) -> None:
        ((known,),) = connection.execute("SELECT count(*) FROM accesses").fetchall()
        if known > self._limit:
            # by key, so that many equal times cannot empty the table
            connection.execute(
                "DELETE FROM accesses WHERE key IN (SELECT key FROM accesses ORDER BY last LIMIT ?)",
                (known - self._limit + (self._slack if self._limit > self._slack else 0),),
            )

    def of(self, key: str) -> Access | None:
        """Tell how often a key was asked for, as far as is remembered."""
        with self._volatile.guard:
            rows = self._volatile.execute(
                "SELECT count, last, first FROM accesses WHERE key = ?", (key,)
            ).fetchall()
        return Access(*rows[0]) if rows else None
