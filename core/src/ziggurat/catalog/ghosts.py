"""History: the rows of evicted blocks, kept in the order of their eviction and bounded in number.

Slots are given in order and never twice, so the rows of a cache lie between its oldest slot and its last
one, with holes where a block came back. A random slot that is no hole is a random row.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ziggurat.catalog.records import CacheRow
from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.catalog.sql import Connection, listed
from ziggurat.policy.rounds import GHOSTS, LEAST_GHOSTS

__all__ = ["bury", "recall", "sample"]

_DRAWS = 32


def bury(connection: Connection, cache: int, rows: Sequence[CacheRow]) -> None:
    """Keep the history of evicted blocks, and forget the oldest beyond the bound.

    Args:
        connection: In a transaction.
        cache: Number of the cache.
        rows: As they were; one that is there already is replaced.
    """
    if not rows:
        return
    recall(connection, cache, [row.key for row in rows])
    ((entries, gone, last),) = connection.execute(
        "SELECT entries, gone, buried FROM caches WHERE id = ?", (cache,)
    ).fetchall()
    base = cache << SLOT_BITS
    connection.executemany(
        "INSERT INTO ghosts (id, cache, key, size, last, count, first, gap) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (base + last + number, cache, row.key, row.size, row.last, row.count, row.first, row.gap)
            for number, row in enumerate(rows, 1)
        ],
    )
    over = gone + len(rows) - max(LEAST_GHOSTS, GHOSTS * entries)
    if over > 0:
        connection.execute(
            "DELETE FROM ghosts WHERE id IN "
            "(SELECT id FROM ghosts WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
            (base, base + last + len(rows), over),
        )
    connection.execute(
        "UPDATE caches SET gone = gone + ?, buried = buried + ? WHERE id = ?",
        (len(rows) - max(over, 0), len(rows), cache),
    )


def recall(connection: Connection, cache: int, keys: Iterable[str]) -> dict[str, CacheRow]:
    """Take the history of keys out, where there is some."""
    found = connection.execute(
        "DELETE FROM ghosts WHERE cache = ? AND key IN (SELECT value FROM json_each(?)) "
        "RETURNING key, size, last, count, first, gap",
        (cache, listed(keys)),
    ).fetchall()
    if found:
        connection.execute("UPDATE caches SET gone = gone - ? WHERE id = ?", (len(found), cache))
    return {row[0]: CacheRow(*row) for row in found}


def sample(connection: Connection, cache: int, rng: random.Random) -> tuple[list[CacheRow], int]:
    """Give random rows, about ten to thirty, and how many there are."""
    ((gone, last),) = connection.execute("SELECT gone, buried FROM caches WHERE id = ?", (cache,)).fetchall()
    if not gone:
        return [], 0
    base = cache << SLOT_BITS
    ((oldest,),) = connection.execute(
        "SELECT id FROM ghosts WHERE id > ? AND id <= ? ORDER BY id LIMIT 1", (base, base + last)
    ).fetchall()
    slots = {rng.randint(oldest, base + last) for _ in range(_DRAWS)}
    rows = connection.execute(
        "SELECT key, size, last, count, first, gap FROM ghosts WHERE id IN (SELECT value FROM json_each(?))",
        (listed(slots),),
    ).fetchall()
    return [CacheRow(*row) for row in rows], gone
