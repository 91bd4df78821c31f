"""Statements that write the catalog's rows, each inside somebody's transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

from attrs import asdict

from ziggurat.backend import Info
from ziggurat.catalog import graph
from ziggurat.catalog.records import CopyRow, RootRow
from ziggurat.catalog.sql import Connection

__all__ = ["forget_copy", "info_from", "info_text", "put_copies", "put_edges", "put_info", "put_root", "tidy"]


def put_root(connection: Connection, root: RootRow) -> None:
    """Insert or update a root; it keeps the time when it first became one."""
    connection.execute(
        "INSERT INTO roots (key, cid, size, type, encoding, created) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET cid = excluded.cid, size = excluded.size, type = excluded.type, "
        "encoding = coalesce(excluded.encoding, encoding)",
        (root.key, root.cid, root.size, root.type, root.encoding, root.created or time.time()),
    )


def put_copies(connection: Connection, copies: Iterable[tuple[int, CopyRow]]) -> None:
    """Insert or replace copies, each given with its medium's number."""
    connection.executemany(
        "INSERT INTO copies (key, medium, under, stored, note, nodes_note, encoding) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, medium, under) DO UPDATE SET "
        "stored = excluded.stored, note = excluded.note, nodes_note = excluded.nodes_note, "
        "encoding = coalesce(excluded.encoding, encoding)",
        [
            (row.key, medium, row.under or "", row.stored, row.note, row.nodes_note, row.encoding)
            for medium, row in copies
        ],
    )


def put_edges(connection: Connection, edges: Iterable[tuple[str, str]]) -> None:
    """Insert links from parent to child; known ones stay."""
    connection.executemany("INSERT OR IGNORE INTO edges (parent, child) VALUES (?, ?)", edges)


def put_info(connection: Connection, key: str, info: Info) -> None:
    """Insert or replace what the user said about a blob."""
    connection.execute(
        "INSERT INTO info (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, info_text(info)),
    )


def forget_copy(connection: Connection, key: str, medium: int) -> bool:
    """Delete a medium's own copy, and the rows of what its closure carried."""
    carried = connection.execute(
        "DELETE FROM copies WHERE under = ? AND medium = ? RETURNING key", (key, medium)
    ).fetchall()
    gone = connection.execute(
        "DELETE FROM copies WHERE key = ? AND medium = ? AND under = '' RETURNING key", (key, medium)
    ).fetchall()
    for (left,) in (*carried, *gone):
        tidy(connection, left)
    return bool(gone)


def tidy(connection: Connection, key: str) -> None:
    """Delete what is known of a blob that has no copy, and that no root and no pin reaches."""
    kept = connection.execute("SELECT 1 FROM copies WHERE key = ? LIMIT 1", (key,)).fetchall()
    if not kept and not graph.protects(connection.execute, key):
        connection.execute("DELETE FROM edges WHERE parent = ?", (key,))
        connection.execute("DELETE FROM info WHERE key = ?", (key,))


def info_text(info: Info) -> str:
    """Info as JSON text."""
    return json.dumps(asdict(info), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def info_from(text: str) -> Info:
    """Info from the JSON text of `info_text`."""
    return Info(**json.loads(text))
