"""Questions about what reaches what: roots and pins over the edges between blobs.

Each is one statement, so it sees one state of the catalog (`carried`: one for each child). Only
`reachable` and `unreachable_copies` walk everything; the others stay among the relatives of their blob
(`carried` as long as these are few: each child of a long chain has the whole chain above it).
"""

from __future__ import annotations

from ziggurat.catalog.records import CopyRow, Freed
from ziggurat.sqlite import Execute

__all__ = ["carried", "children", "parents", "protects", "reachable", "unreachable_copies", "would_free"]

_MARK = """
WITH RECURSIVE mark (key) AS (
  SELECT key FROM roots UNION SELECT key FROM pins
  UNION SELECT edges.child FROM mark JOIN edges ON edges.parent = mark.key
) """

_MANY = 64
"""Children from which walking everything once costs less than going up from each."""

_REACHABLE = _MARK + "SELECT key FROM mark"  # noqa: S608 - constants
_UNREACHABLE = f"""{_MARK}
SELECT key, stored, note, nodes_note, encoding FROM copies
WHERE medium = ? AND under = '' AND key NOT IN (SELECT key FROM mark)"""  # noqa: S608 - constants

_UP = """
WITH RECURSIVE up (key) AS (
  SELECT ?1 UNION SELECT edges.parent FROM up JOIN edges ON edges.child = up.key
)
SELECT 1 FROM up WHERE key IN (SELECT key FROM roots) OR key IN (SELECT key FROM pins) LIMIT 1"""

# Whatever holds a descendant does so along a path of that descendant's ancestors: the rest is not looked at.
_FREED = """
WITH RECURSIVE
  down (key) AS (
    SELECT ?1 UNION SELECT edges.child FROM down JOIN edges ON edges.parent = down.key
  ),
  up (key) AS (
    SELECT key FROM down UNION SELECT edges.parent FROM up JOIN edges ON edges.child = up.key
  ),
  held (key) AS (
    SELECT up.key FROM up WHERE up.key IN (SELECT key FROM pins)
      OR (up.key <> ?1 AND up.key IN (SELECT key FROM roots))
    UNION SELECT edges.child FROM held JOIN edges ON edges.parent = held.key
      WHERE edges.child IN (SELECT key FROM up)
  )
SELECT count(DISTINCT key), coalesce(sum(stored), 0) FROM copies
WHERE key IN (SELECT key FROM down) AND key NOT IN (SELECT key FROM held)"""


def children(execute: Execute, key: str) -> list[str]:
    """Keys that a blob links to, in the order of their text."""
    rows = execute("SELECT child FROM edges WHERE parent = ? ORDER BY child", (key,)).fetchall()
    return [child for (child,) in rows]


def parents(execute: Execute, key: str) -> list[str]:
    """Keys that link to a blob, in the order of their text."""
    rows = execute("SELECT parent FROM edges WHERE child = ? ORDER BY parent", (key,)).fetchall()
    return [parent for (parent,) in rows]


def protects(execute: Execute, key: str) -> bool:
    """True if a root or a pin is, or reaches, the blob."""
    return bool(execute(_UP, (key,)).fetchall())


def reachable(execute: Execute) -> set[str]:
    """Every key that a root or a pin is or reaches."""
    return {key for (key,) in execute(_REACHABLE).fetchall()}


def unreachable_copies(execute: Execute, medium: int, identity: str) -> list[CopyRow]:
    """Copies of a medium's own that no root and no pin reaches."""
    rows = execute(_UNREACHABLE, (medium,)).fetchall()
    return [CopyRow(key, identity, *rest) for key, *rest in rows]


def would_free(execute: Execute, root: str) -> Freed:
    """What only this root holds."""
    ((blobs, size),) = execute(_FREED, (root,)).fetchall()
    return Freed(blobs, size)


def carried(execute: Execute, key: str, medium: int) -> list[str]:
    """Protected blobs that a closure carries, with other copies or without.

    Args:
        execute: Reads the catalog.
        key: Plain key of the closure's root.
        medium: Number of the medium.
    """
    rows = execute(
        "SELECT key FROM copies WHERE under = ? AND medium = ? ORDER BY key", (key, medium)
    ).fetchall()
    if len(rows) > _MANY:
        kept = reachable(execute)
        return [child for (child,) in rows if child in kept]
    return [child for (child,) in rows if protects(execute, child)]
