"""Rows of `residency` in dense slots: the rows of a cache have the slots 1 to `entries`, without a hole.

So a random slot is a random row, found by one look-up of its id, and every row is as likely as any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from ziggurat.catalog.records import CacheRow
from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.catalog.sql import Connection, listed

__all__ = ["Holes", "add", "close", "delete"]

Holes = list[int]
"""Ids of deleted rows, the highest first."""


def delete(
    connection: Connection, cache: int, keys: Iterable[str], owner: int, *, dying: bool
) -> tuple[Holes, list[CacheRow]]:
    """Delete an owner's rows of one state; the holes are then filled by `add` or closed by `close`.

    Args:
        connection: In a transaction.
        cache: Number of the cache.
        keys: Keys; those without such a row are ignored.
        owner: Whose rows.
        dying: True for rows being evicted, False for rows being filled.

    Returns:
        The holes, and the rows as they were, whose bytes no longer count.
    """
    gone = connection.execute(
        "DELETE FROM residency WHERE cache = ? AND owner = ? AND dying = ? "
        "AND key IN (SELECT value FROM json_each(?)) "
        "RETURNING id, key, size, last, count, first, gap, since",
        (cache, owner, dying, listed(keys)),
    ).fetchall()
    rows = [CacheRow(*row[1:]) for row in gone]
    _count(connection, cache, -sum(row.size for row in rows), 0)
    return sorted((row[0] for row in gone), reverse=True), rows


def add(
    connection: Connection,
    cache: int,
    rows: Iterable[CacheRow],
    owner: int | None,
    holes: Holes,
) -> None:
    """Insert rows, into holes first and then behind the last slot, and count them.

    Args:
        connection: In a transaction.
        cache: Number of the cache.
        rows: What they are to be; none of their keys has a row.
        owner: Who fills them, None if they are resident.
        holes: What `delete` left; those that are used are taken from it.
    """
    ((entries,),) = connection.execute("SELECT entries FROM caches WHERE id = ?", (cache,)).fetchall()
    last = (cache << SLOT_BITS) + entries
    made = []
    added = 0
    for row in rows:
        if holes:
            place = holes.pop()
        else:
            added += 1
            place = last + added
        made.append(
            (place, cache, row.key, row.size, row.last, row.count, row.first, row.gap, row.since, owner)
        )
    connection.executemany(
        "INSERT INTO residency (id, cache, key, size, last, count, first, gap, since, owner) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        made,
    )
    _count(connection, cache, sum(row[3] for row in made), added)


def close(connection: Connection, cache: int, holes: Holes) -> None:
    """Move the last rows into holes.

    Args:
        connection: In the transaction of the `delete` that left them.
        cache: Number of the cache.
        holes: What `delete` left and `add` did not take.
    """
    ((entries,),) = connection.execute("SELECT entries FROM caches WHERE id = ?", (cache,)).fetchall()
    last = (cache << SLOT_BITS) + entries
    for hole in holes:  # from the highest, so that the last row is never itself a hole
        if hole != last:
            connection.execute("UPDATE residency SET id = ? WHERE id = ?", (hole, last))
        last -= 1
    _count(connection, cache, 0, -len(holes))


def _count(connection: Connection, cache: int, size: int, rows: int) -> None:
    if size or rows:
        connection.execute(
            "UPDATE caches SET used = used + ?, entries = entries + ? WHERE id = ?", (size, rows, cache)
        )
