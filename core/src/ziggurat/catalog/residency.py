"""What is where in the persistent caches, exact to the byte across processes.

Every byte in a cache has a row, and the rows of a cache never sum to more than its capacity. A row
is *resident*, *filling* (its bytes may be under way) or *dying* (its bytes may still be there); the
last two belong to one owner. A block goes in like this::

    admission = residency.begin_admit(medium, wanted, capacity, ranker.rank, now)  # victims: dying
    gone = [key for key in admission.victims if evicted(key)]  # the victims' bytes
    granted = residency.finish_admit(admission, gone, now)  # new rows: filling
    ...  # the new bytes
    residency.settle(medium, put, failed)  # resident, or no row

and out like this: `condemn` (dying), evict the bytes, `drop` (no row). Whoever dies in between leaves rows
that count and belong to nobody; the next admission takes them as its first victims.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ziggurat.catalog import ghosts
from ziggurat.catalog.choosing import (
    Choose,
    accept,
    accessed,
    admitted,
    cache_of,
    fresh,
    mark,
    pick,
    rows_of,
    sampler,
)
from ziggurat.catalog.records import Admission, CacheRow, Usage
from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.catalog.slots import add, close, delete
from ziggurat.catalog.sql import Connection, listed
from ziggurat.catalog.volatile import Volatile
from ziggurat.policy import Observer

__all__ = ["Choose", "Residency"]

_NEIGHBOURS = 200


class Residency:
    """The rows of every persistent cache of one catalog.

    Args:
        volatile: Where they are kept.
        seed: For the sampling, so that tests repeat.
    """

    def __init__(self, volatile: Volatile, seed: int | None = None) -> None:
        self._volatile = volatile
        self._random = random.Random(seed)  # noqa: S311 - it samples, it keeps no secret

    # --- reading

    def known(self, medium: str) -> bool:
        """True if every byte in the cache is accounted; otherwise list it and `adopt` what it holds."""
        return self._usage(medium) is not None

    def usage(self, medium: str) -> Usage:
        """Bytes and entries accounted, those under way included; of an unknown cache none."""
        return self._usage(medium) or Usage(0, 0)

    def _usage(self, medium: str) -> Usage | None:
        with self._volatile.guard:
            rows = self._volatile.execute(
                "SELECT used, entries FROM caches WHERE medium = ?", (medium,)
            ).fetchall()
        return Usage(*rows[0]) if rows else None

    def resident(self, medium: str, keys: Iterable[str]) -> dict[str, int]:
        """Find which keys are resident.

        Args:
            medium: Identity of the cache's medium.
            keys: Keys of blocks.

        Returns:
            The size in bytes of each that is.
        """
        with self._volatile.guard:
            return dict(
                self._volatile.execute(
                    "SELECT r.key, r.size FROM caches AS c JOIN residency AS r ON r.cache = c.id "
                    "WHERE c.medium = ? AND r.owner IS NULL AND r.key IN (SELECT value FROM json_each(?))",
                    (medium, listed(keys)),
                ).fetchall()
            )

    # --- writing

    def adopt(self, medium: str, found: Iterable[tuple[str, int]], now: float) -> bool:
        """Account a cache that is not known yet; nothing is admitted to it before.

        Args:
            medium: Identity of the cache's medium.
            found: Key and size in bytes of everything that it holds.
            now: Seconds since the epoch.

        Returns:
            False if another process was faster, whose list then stands.

        Raises:
            StoreError: The catalog cannot be used.
        """
        sizes = dict(found)

        def work(connection: Connection) -> bool:
            if cache_of(connection, medium) is not None:
                return False
            ((cache,),) = connection.execute(
                "INSERT INTO caches (medium, used, entries) VALUES (?, 0, 0) RETURNING id", (medium,)
            ).fetchall()
            add(connection, cache, [fresh(key, size, now) for key, size in sizes.items()], None, [])
            return True

        return self._volatile.write(work)

    def begin_admit(
        self,
        medium: str,
        wanted: Sequence[tuple[str, int]],
        capacity: int,
        choose: Choose,
        now: float,
        observer: Observer | None = None,
    ) -> Admission:
        """Choose who must go so that new blocks fit.

        With nothing wanted it shrinks the cache to its capacity and collects what dead processes left.

        Args:
            medium: Identity of the cache's medium.
            wanted: Key and size in bytes of blocks, the most wanted first.
            capacity: Bytes that the cache may hold.
            choose: Orders samples, first to go first.
            now: Seconds since the epoch.
            observer: Learns from what is looked at.

        Returns:
            The victims, and those of `wanted` that make sense. The caller evicts the victims' bytes and calls
            `finish_admit`, also when nothing was evicted.

        Raises:
            StoreError: The catalog cannot be used.
        """
        self._volatile.reap()
        owner = self._volatile.owner()

        def work(connection: Connection) -> Admission:
            cache = cache_of(connection, medium)
            if cache is None:
                return Admission(medium, capacity, (), ())
            number, used, entries = cache
            victims: dict[str, int] = dict(
                connection.execute(
                    "SELECT key, size FROM residency WHERE owner = 0 AND cache = ?", (number,)
                ).fetchall()
            )
            accepted, renewed = accept(connection, number, wanted, capacity, set(victims), now)
            victims |= renewed
            picked: dict[str, CacheRow] = {}
            short = used - sum(victims.values()) + sum(accepted.values()) - capacity
            if short > 0:
                sample = sampler(connection, number, entries, self._random, observer, now)
                picked = pick(sample, victims, short, choose, now)
                victims |= {key: row.size for key, row in picked.items()}
            mark(connection, number, victims, owner)
            ages = {key: max(0.0, now - row.since) for key, row in picked.items()}
            return Admission(medium, capacity, tuple(accepted.items()), tuple(victims), ages)

        return self._volatile.write(work)

    def finish_admit(
        self, admission: Admission, evicted: Iterable[str], now: float, observer: Observer | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Account what went, and grant what fits now.

        Args:
            admission: What `begin_admit` returned.
            evicted: The victims whose bytes are gone for certain; the others count on, for a later try.
            now: Seconds since the epoch.
            observer: Learns from what comes back; with one, history is kept.

        Returns:
            Key and size of the blocks whose bytes may be put; each must be settled.

        Raises:
            StoreError: The catalog cannot be used.
        """
        evicted = set(evicted)
        gone = [key for key in admission.victims if key in evicted]
        left = [key for key in admission.victims if key not in evicted]
        if not gone and not left and not admission.wanted:
            return ()

        owner = self._volatile.owner()

        def work(connection: Connection) -> tuple[tuple[str, int], ...]:
            cache = cache_of(connection, admission.medium)
            if cache is None:
                return ()
            number = cache[0]
            connection.execute(
                "UPDATE residency SET owner = 0 WHERE cache = ? AND owner = ? AND dying "
                "AND key IN (SELECT value FROM json_each(?))",
                (number, owner, listed(left)),
            )
            holes, rows = delete(connection, number, gone, owner, dying=True)
            if observer is not None:
                ghosts.bury(connection, number, rows)
            room = admission.capacity - cache[1] + sum(row.size for row in rows)
            taken = rows_of(connection, number, [key for key, _ in admission.wanted])
            granted: list[tuple[str, int]] = []
            for key, size in admission.wanted:
                if size <= room and key not in taken:
                    granted.append((key, size))
                    room -= size
            add(connection, number, admitted(connection, number, granted, now, observer), owner, holes)
            close(connection, number, holes)
            return tuple(granted)

        return self._volatile.write(work)

    def settle(self, medium: str, put: Iterable[str], failed: Iterable[str] = ()) -> None:
        """Say how the puts of granted blocks ended.

        Args:
            medium: Identity of the cache's medium.
            put: Keys whose bytes are there.
            failed: Keys whose bytes are not there for certain (evict them first if in doubt).

        Raises:
            StoreError: The catalog cannot be used.
        """
        put, failed = list(put), list(failed)
        owner = self._volatile.owner()

        def work(connection: Connection) -> None:
            cache = cache_of(connection, medium)
            if cache is None:
                return
            connection.execute(
                "UPDATE residency SET owner = NULL WHERE cache = ? AND owner = ? AND NOT dying "
                "AND key IN (SELECT value FROM json_each(?))",
                (cache[0], owner, listed(put)),
            )
            holes, _ = delete(connection, cache[0], failed, owner, dying=False)
            close(connection, cache[0], holes)

        if put or failed:
            self._volatile.write(work)

    def condemn(self, medium: str, keys: Iterable[str]) -> list[str]:
        """Claim resident blocks for eviction.

        Args:
            medium: Identity of the cache's medium.
            keys: Keys of blocks.

        Returns:
            Those that are the caller's now: it evicts their bytes and drops them. The others are
            not resident, or somebody else fills or evicts them.

        Raises:
            StoreError: The catalog cannot be used.
        """
        keys = list(keys)
        owner = self._volatile.owner()

        def work(connection: Connection) -> list[str]:
            cache = cache_of(connection, medium)
            if cache is None:
                return []
            mine = [key for key, row in rows_of(connection, cache[0], keys).items() if row[2] is None]
            mark(connection, cache[0], mine, owner)
            return mine

        return self._volatile.write(work) if keys else []

    def drop(self, medium: str, keys: Iterable[str]) -> int:
        """Forget condemned blocks whose bytes are gone.

        Args:
            medium: Identity of the cache's medium.
            keys: Keys that `condemn` returned to the caller, and nobody else's.

        Returns:
            Bytes that no longer count.

        Raises:
            StoreError: The catalog cannot be used.
        """
        keys = list(keys)
        owner = self._volatile.owner()

        def work(connection: Connection) -> int:
            cache = cache_of(connection, medium)
            if cache is None:
                return 0
            holes, rows = delete(connection, cache[0], keys, owner, dying=True)
            close(connection, cache[0], holes)
            return sum(row.size for row in rows)

        return self._volatile.write(work) if keys else 0

    def touch(self, medium: str, keys: Iterable[str], now: float) -> None:
        """Count one access to each resident key.

        Args:
            medium: Identity of the cache's medium.
            keys: Keys of blocks; those that are not there are ignored.
            now: Seconds since the epoch.

        Raises:
            StoreError: The catalog cannot be used.
        """
        self.seen(medium, [(key, now) for key in keys])

    def seen(
        self, medium: str, accesses: Sequence[tuple[str, float]], observer: Observer | None = None
    ) -> None:
        """Count accesses to resident keys.

        Args:
            medium: Identity of the cache's medium.
            accesses: Key and time (seconds since the epoch) of each, in their order; keys that are not
                there are ignored.
            observer: Learns from each.

        Raises:
            StoreError: The catalog cannot be used.
        """

        def work(connection: Connection) -> None:
            cache = cache_of(connection, medium)
            if cache is None:
                return
            found = connection.execute(
                "SELECT key, size, last, count, first, gap FROM residency "
                "WHERE cache = ? AND key IN (SELECT value FROM json_each(?))",
                (cache[0], listed({key for key, _ in accesses})),
            ).fetchall()
            rows = {row[0]: CacheRow(*row) for row in found}
            for key, now in accesses:
                if (row := rows.get(key)) is not None:
                    rows[key] = accessed(row, now, observer)
            connection.executemany(
                "UPDATE residency SET last = ?, count = ?, gap = ? WHERE cache = ? AND key = ?",
                [(row.last, row.count, row.gap, cache[0], row.key) for row in rows.values()],
            )

        if accesses:
            self._volatile.write(work)

    def sample(self, medium: str, keys: Iterable[str]) -> tuple[list[CacheRow], list[CacheRow]]:
        """Give the resident rows of keys, and a random sample of all resident rows."""
        with self._volatile.guard:
            execute = self._volatile.execute
            found = execute("SELECT id, entries FROM caches WHERE medium = ?", (medium,)).fetchall()
            if not found:
                return [], []
            ((cache, entries),) = found
            drawn = self._random.sample(range(1, entries + 1), min(entries, _NEIGHBOURS))
            columns = "key, size, last, count, first, gap, since"
            named = execute(
                f"SELECT {columns} FROM residency WHERE cache = ? AND owner IS NULL "  # noqa: S608 - fixed columns
                "AND key IN (SELECT value FROM json_each(?))",
                (cache, listed(keys)),
            ).fetchall()
            others = execute(
                f"SELECT {columns} FROM residency WHERE owner IS NULL "  # noqa: S608 - fixed columns
                "AND id IN (SELECT value FROM json_each(?))",
                (listed((cache << SLOT_BITS) | slot for slot in drawn),),
            ).fetchall()
        return [CacheRow(*row) for row in named], [CacheRow(*row) for row in others]
