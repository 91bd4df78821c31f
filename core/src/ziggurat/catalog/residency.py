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
from collections.abc import Callable, Iterable, Sequence

from ziggurat.catalog.records import Admission, CacheRow, Usage
from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.catalog.slots import add, close, delete
from ziggurat.catalog.sql import Connection, listed
from ziggurat.catalog.volatile import Volatile

__all__ = ["Choose", "Residency"]

Choose = Callable[[Sequence[CacheRow], float], Sequence[CacheRow]]
"""Orders sampled rows at a time, first to go first: a `Ranker.rank`."""

_SAMPLE = 32
_TAKE = 4
_FRESH = 60.0


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
            if _cache(connection, medium) is not None:
                return False
            ((cache,),) = connection.execute(
                "INSERT INTO caches (medium, used, entries) VALUES (?, 0, 0) RETURNING id", (medium,)
            ).fetchall()
            add(connection, cache, sizes.items(), now, None, [])
            return True

        return self._volatile.write(work)

    def begin_admit(
        self, medium: str, wanted: Sequence[tuple[str, int]], capacity: int, choose: Choose, now: float
    ) -> Admission:
        """Choose who must go so that new blocks fit.

        With nothing wanted it shrinks the cache to its capacity and collects what dead processes left.

        Args:
            medium: Identity of the cache's medium.
            wanted: Key and size in bytes of blocks, the most wanted first.
            capacity: Bytes that the cache may hold.
            choose: Orders samples, first to go first.
            now: Seconds since the epoch.

        Returns:
            The victims, and those of `wanted` that make sense. The caller evicts the victims' bytes and calls
            `finish_admit`, also when nothing was evicted.

        Raises:
            StoreError: The catalog cannot be used.
        """
        self._volatile.reap()
        owner = self._volatile.owner()

        def work(connection: Connection) -> Admission:
            cache = _cache(connection, medium)
            if cache is None:
                return Admission(medium, capacity, (), ())
            number, used, entries = cache
            victims: dict[str, int] = dict(
                connection.execute(
                    "SELECT key, size FROM residency WHERE owner = 0 AND cache = ?", (number,)
                ).fetchall()
            )
            accepted, renewed = _accept(connection, number, wanted, capacity, set(victims), now)
            victims |= renewed
            short = used - sum(victims.values()) + sum(accepted.values()) - capacity
            if short > 0:
                sample = _sampler(connection, number, entries, self._random)
                victims |= _pick(sample, victims, short, choose, now)
            _mark(connection, number, victims, owner)
            return Admission(medium, capacity, tuple(accepted.items()), tuple(victims))

        return self._volatile.write(work)

    def finish_admit(
        self, admission: Admission, evicted: Iterable[str], now: float
    ) -> tuple[tuple[str, int], ...]:
        """Account what went, and grant what fits now.

        Args:
            admission: What `begin_admit` returned.
            evicted: The victims whose bytes are gone for certain; the others count on, for a later try.
            now: Seconds since the epoch.

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
            cache = _cache(connection, admission.medium)
            if cache is None:
                return ()
            number = cache[0]
            connection.execute(
                "UPDATE residency SET owner = 0 WHERE cache = ? AND owner = ? AND dying "
                "AND key IN (SELECT value FROM json_each(?))",
                (number, owner, listed(left)),
            )
            holes, freed = delete(connection, number, gone, owner, dying=True)
            room = admission.capacity - cache[1] + freed
            taken = _rows(connection, number, [key for key, _ in admission.wanted])
            granted: list[tuple[str, int]] = []
            for key, size in admission.wanted:
                if size <= room and key not in taken:
                    granted.append((key, size))
                    room -= size
            add(connection, number, granted, now, owner, holes)
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
            cache = _cache(connection, medium)
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
            cache = _cache(connection, medium)
            if cache is None:
                return []
            mine = [key for key, row in _rows(connection, cache[0], keys).items() if row[2] is None]
            _mark(connection, cache[0], mine, owner)
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
            cache = _cache(connection, medium)
            if cache is None:
                return 0
            holes, freed = delete(connection, cache[0], keys, owner, dying=True)
            close(connection, cache[0], holes)
            return freed

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
        keys = list(keys)

        def work(connection: Connection) -> None:
            cache = _cache(connection, medium)
            if cache is not None:
                connection.executemany(
                    "UPDATE residency SET last = max(last, ?), count = count + 1 WHERE cache = ? AND key = ?",
                    [(now, cache[0], key) for key in keys],
                )

        if keys:
            self._volatile.write(work)


def _cache(connection: Connection, medium: str) -> tuple[int, int, int] | None:
    rows = connection.execute("SELECT id, used, entries FROM caches WHERE medium = ?", (medium,)).fetchall()
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def _rows(
    connection: Connection, cache: int, keys: Iterable[str]
) -> dict[str, tuple[int, float, int | None]]:
    """Size, last access and owner of the keys that have a row."""
    found = connection.execute(
        "SELECT key, size, last, owner FROM residency "
        "WHERE cache = ? AND key IN (SELECT value FROM json_each(?))",
        (cache, listed(keys)),
    ).fetchall()
    return {key: (size, last, owner) for key, size, last, owner in found}


def _accept(
    connection: Connection,
    cache: int,
    wanted: Sequence[tuple[str, int]],
    capacity: int,
    orphans: set[str],
    now: float,
) -> tuple[dict[str, int], dict[str, int]]:
    """Which of `wanted` to admit, and which of their old rows must go first."""
    rows = _rows(connection, cache, [key for key, _ in wanted])
    accepted: dict[str, int] = {}
    renewed: dict[str, int] = {}
    room = capacity
    for key, size in wanted:
        if size > room or key in accepted:
            continue
        row = rows.get(key)
        if row is not None and key not in orphans:
            # Another process fills or evicts it, or has just done so: leave it. An old row is one
            # whose bytes the reader did not find: the medium lost them, so they are put anew.
            if row[2] is not None or now - row[1] < _FRESH:
                continue
            renewed[key] = row[0]
        accepted[key] = size
        room -= size
    return accepted, renewed


def _sampler(
    connection: Connection, cache: int, entries: int, rng: random.Random
) -> Callable[[], tuple[list[CacheRow], bool]]:
    """Give random resident rows, and whether these are all there are."""
    base = cache << SLOT_BITS

    def sample() -> tuple[list[CacheRow], bool]:
        everything = entries <= 2 * _SAMPLE
        slots = range(1, entries + 1) if everything else rng.sample(range(1, entries + 1), _SAMPLE)
        rows = connection.execute(
            "SELECT key, size, last, count FROM residency "
            "WHERE owner IS NULL AND id IN (SELECT value FROM json_each(?))",
            (listed(base | slot for slot in slots),),
        ).fetchall()
        return [CacheRow(*row) for row in rows], everything

    return sample


def _pick(
    sample: Callable[[], tuple[list[CacheRow], bool]],
    spared: dict[str, int],
    short: int,
    choose: Choose,
    now: float,
) -> dict[str, int]:
    """Take the first of each ranked sample until enough bytes go, or nothing is left to take."""
    picked: dict[str, int] = {}
    idle = 0  # rounds without a victim: most rows are under way, or the policy spares them
    while short > 0 and idle < _SAMPLE:
        rows, everything = sample()
        free = {row.key: row for row in rows if row.key not in spared and row.key not in picked}
        ranked = choose(list(free.values()), now) if free else ()
        before = len(picked)
        for row in ranked if everything else ranked[:_TAKE]:
            if short <= 0:
                break
            if (own := free.pop(row.key, None)) is not None:  # what it invents is nobody's to take
                picked[own.key] = own.size
                short -= own.size
        idle = idle + 1 if len(picked) == before else 0
        if everything:
            break
    return picked


def _mark(connection: Connection, cache: int, keys: Iterable[str], owner: int) -> None:
    connection.execute(
        "UPDATE residency SET owner = ?, dying = 1 "
        "WHERE cache = ? AND key IN (SELECT value FROM json_each(?))",
        (owner, cache, listed(keys)),
    )
