"""Rows of `residency` in dense slots: the rows of a cache have the slots 1 to `entries`, without a hole.

So a random slot is a random row, found by one look-up of its id, and every row is as likely as any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.catalog.sql import Connection, listed

__all__ = ["add", "remove"]


def add(
    connection: Connection,
    cache: int,
    rows: Iterable[tuple[str, int]],
    now: float,
    owner: int | None,
) -> None:
    """Insert rows behind the last slot, and count them.

    Args:
        connection: In a transaction.
        cache: Number of the cache.
        rows: Key and size in bytes of each, none of which has a row.
        now: Seconds since the epoch.
        owner: Who fills them, None if they are resident.
    """
    ((entries,),) = connection.execute("SELECT entries FROM caches WHERE id = ?", (cache,)).fetchall()
    base = (cache << SLOT_BITS) + entries + 1
    made = [(base + place, cache, key, size, now, owner) for place, (key, size) in enumerate(rows)]
    connection.executemany(
        "INSERT INTO residency (id, cache, key, size, last, count, owner) VALUES (?, ?, ?, ?, ?, 1, ?)", made
    )
    _count(connection, cache, sum(row[3] for row in made), len(made))


def remove(connection: Connection, cache: int, keys: Iterable[str], owner: int, *, dying: bool) -> int:
    """Delete an owner's rows of one state, and move the last rows into their slots.

    Args:
        connection: In a transaction.
        cache: Number of the cache.
        keys: Keys; those without such a row are ignored.
        owner: Whose rows.
        dying: True for rows being evicted, False for rows being filled.

    Returns:
        Bytes that no longer count.
    """
    gone = connection.execute(
        "DELETE FROM residency WHERE cache = ? AND owner = ? AND dying = ? "
        "AND key IN (SELECT value FROM json_each(?)) RETURNING id, size",
        (cache, owner, dying, listed(keys)),
    ).fetchall()
    holes = sorted((row for row, _ in gone), reverse=True)
    freed: int = sum(size for _, size in gone)
    if holes:
        ((entries,),) = connection.execute("SELECT entries FROM caches WHERE id = ?", (cache,)).fetchall()
        last = (cache << SLOT_BITS) + entries
        for hole in holes:  # from the end, so that the last row is never itself a hole
            if hole != last:
                connection.execute("UPDATE residency SET id = ? WHERE id = ?", (hole, last))
            last -= 1
        _count(connection, cache, -freed, -len(holes))
    return freed


def _count(connection: Connection, cache: int, size: int, rows: int) -> None:
    if rows:
        connection.execute(
            "UPDATE caches SET used = used + ?, entries = entries + ? WHERE id = ?", (size, rows, cache)
        )
