"""What goes and what comes when a persistent cache makes room: rows sampled, ranked, marked and made."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from ziggurat.catalog import ghosts
from ziggurat.catalog.records import CacheRow
from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.catalog.sql import Connection, listed
from ziggurat.policy import Observer
from ziggurat.policy.rounds import SAMPLE, TAKE

__all__ = [
    "Choose",
    "accept",
    "accessed",
    "admitted",
    "cache_of",
    "fresh",
    "mark",
    "pick",
    "rows_of",
    "sampler",
]

Choose = Callable[[Sequence[CacheRow], float], Sequence[CacheRow]]
"""Orders sampled rows at a time, first to go first: a `Ranker.rank`."""

_FRESH = 60.0


def cache_of(connection: Connection, medium: str) -> tuple[int, int, int] | None:
    """Number, bytes and entries of a cache, None for one that is not known."""
    rows = connection.execute("SELECT id, used, entries FROM caches WHERE medium = ?", (medium,)).fetchall()
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def rows_of(
    connection: Connection, cache: int, keys: Iterable[str]
) -> dict[str, tuple[int, float, int | None]]:
    """Size, last access and owner of the keys that have a row."""
    found = connection.execute(
        "SELECT key, size, last, owner FROM residency "
        "WHERE cache = ? AND key IN (SELECT value FROM json_each(?))",
        (cache, listed(keys)),
    ).fetchall()
    return {key: (size, last, owner) for key, size, last, owner in found}


def accept(
    connection: Connection,
    cache: int,
    wanted: Sequence[tuple[str, int]],
    capacity: int,
    orphans: set[str],
    now: float,
) -> tuple[dict[str, int], dict[str, int]]:
    """Which of `wanted` to admit, and which of their old rows must go first."""
    rows = rows_of(connection, cache, [key for key, _ in wanted])
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


def fresh(key: str, size: int, now: float) -> CacheRow:
    """The row of a block that is admitted for the first time."""
    return CacheRow(key, size, now, 1, now, 0.0, now)


def accessed(row: CacheRow, now: float, observer: Observer | None) -> CacheRow:
    """The row after an access."""
    gap = observer.seen(row, now) if observer is not None else row.gap
    return CacheRow(row.key, row.size, max(row.last, now), row.count + 1, row.first, gap, row.since)


def admitted(
    connection: Connection,
    cache: int,
    granted: Sequence[tuple[str, int]],
    now: float,
    observer: Observer | None,
) -> list[CacheRow]:
    """The rows of admitted blocks: new ones, or old ones that come back."""
    old = ghosts.recall(connection, cache, [key for key, _ in granted])
    made = []
    for key, size in granted:
        before = old.get(key) or CacheRow(key, size, now, 0, now, 0.0, now)
        gap = observer.seen(before, now) if observer is not None else before.gap
        made.append(CacheRow(key, size, now, before.count + 1, before.first, gap, now))
    return made


def sampler(
    connection: Connection,
    cache: int,
    entries: int,
    rng: random.Random,
    observer: Observer | None,
    now: float,
) -> Callable[[], tuple[list[CacheRow], bool]]:
    """Give random resident rows, and whether these are all there are."""
    base = cache << SLOT_BITS

    def sample() -> tuple[list[CacheRow], bool]:
        everything = entries <= 2 * SAMPLE
        slots = range(1, entries + 1) if everything else rng.sample(range(1, entries + 1), SAMPLE)
        rows = connection.execute(
            "SELECT key, size, last, count, first, gap, since FROM residency "
            "WHERE owner IS NULL AND id IN (SELECT value FROM json_each(?))",
            (listed(base | slot for slot in slots),),
        ).fetchall()
        residents = [CacheRow(*row) for row in rows]
        if observer is not None:
            observer.watch(residents, entries, *ghosts.sample(connection, cache, rng), now)
        return residents, everything

    return sample


def pick(
    sample: Callable[[], tuple[list[CacheRow], bool]],
    spared: dict[str, int],
    short: int,
    choose: Choose,
    now: float,
) -> dict[str, CacheRow]:
    """Take the first of each ranked sample until enough bytes go, or nothing is left to take."""
    picked: dict[str, CacheRow] = {}
    idle = 0  # rounds without a victim: most rows are under way, or the policy spares them
    while short > 0 and idle < SAMPLE:
        rows, everything = sample()
        free = {row.key: row for row in rows if row.key not in spared and row.key not in picked}
        ranked = choose(list(free.values()), now) if free else ()
        before = len(picked)
        for row in ranked if everything else ranked[:TAKE]:
            if short <= 0:
                break
            if (own := free.pop(row.key, None)) is not None:  # what it invents is nobody's to take
                picked[own.key] = own
                short -= own.size
        idle = idle + 1 if len(picked) == before else 0
        if everything:
            break
    return picked


def mark(connection: Connection, cache: int, keys: Iterable[str], owner: int) -> None:
    """Make rows an owner's to evict."""
    connection.execute(
        "UPDATE residency SET owner = ?, dying = 1 "
        "WHERE cache = ? AND key IN (SELECT value FROM json_each(?))",
        (owner, cache, listed(keys)),
    )
