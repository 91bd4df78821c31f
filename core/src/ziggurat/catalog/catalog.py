"""The catalog: a folder with a synced database of what is where, and an unsynced one of what may be lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ziggurat.backend import Info
from ziggurat.catalog import graph, rows
from ziggurat.catalog.accesses import Accesses
from ziggurat.catalog.guard import Guard
from ziggurat.catalog.learned import Learned
from ziggurat.catalog.migrate import migrate
from ziggurat.catalog.place import refuse_network
from ziggurat.catalog.presence import Presence
from ziggurat.catalog.records import CopyRow, Counts, Freed, MediumRow, Reservation, RootRow, Usage
from ziggurat.catalog.reservations import Reservations
from ziggurat.catalog.residency import Residency
from ziggurat.catalog.sql import Connection
from ziggurat.catalog.tallies import Tallies
from ziggurat.catalog.volatile import Note, Volatile
from ziggurat.errors import StoreError
from ziggurat.sqlite import Database

__all__ = ["Catalog"]

T = TypeVar("T")
_PAGE = 500


class Catalog:
    """What one store knows, shared by threads and processes; made by `Catalog.open`.

    Keys are canonical plain keys as text. What a write acknowledges is synced; concurrent writes share
    a sync. After a fork every call but `close` raises StoreError.

    Attributes:
        path: The folder.
        id: UUID of the catalog.
        cache: Residency of persistent caches.
        reservations: Room for puts under way.
        accesses: How often blobs were asked for.
        learned: What the policies of its caches have learned.
        tallies: What all processes did on each tier.
    """

    def __init__(self, path: Path, presence: Presence) -> None:
        self.path, self._presence = path, presence
        self._closing = threading.Lock()
        alone = presence.join()
        self._guard = Guard(path / "catalog.db")
        with self._guard:
            self._db = Database(path / "catalog.db", durable=True)
        try:
            with self._guard:
                migrate(self._db, alone)
                ((self.id,),) = self._db.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchall()
            self._media: dict[str, int] = {}
            self._names: dict[int, str] = {}
            self._volatile = Volatile(path / "volatile.db", Note(self._read, self._write), alone)
        except BaseException:
            self._db.close()
            raise
        self.cache = Residency(self._volatile)
        self.reservations = Reservations(self._volatile, lambda medium: self.usage(medium).used)
        self.accesses, self.learned = Accesses(self._volatile), Learned(self._volatile)
        self.tallies = Tallies(self._volatile)

    @classmethod
    def open(cls, path: Path) -> Catalog:
        """Open the catalog of a folder, and make what is missing.

        Args:
            path: The folder, on a local file system.

        Returns:
            The open catalog.

        Raises:
            StoreError: The folder or a file in it cannot be used: a network file system, no permission,
                locked, damaged, or made by a newer version. The message says what to do.
        """
        refuse_network(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"catalog folder {path} cannot be made ({error.strerror}): set another path in [store]"
            ) from error
        presence = Presence(path)
        try:
            with presence.turn():
                return cls(path, presence)
        except BaseException:
            presence.leave()
            raise

    def close(self) -> None:
        """Close both databases; harmless when repeated, and in a forked child."""
        with self._closing:
            if self._guard.closed or not self._guard.here:
                return
            try:
                with self._presence.turn():
                    try:
                        with suppress(StoreError):  # notes that stay are settled, and found to be nothing
                            self.reservations.flush()
                        self._volatile.close(self._presence.join())
                    finally:
                        with self._guard:
                            self._guard.closed = True
                            self._db.close()
            finally:
                self._presence.leave()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- media

    def see_medium(self, identity: str, tier: str) -> None:
        """Remember a medium and the tier that is on it now; synced only if that is news.

        Args:
            identity: What the medium calls itself.
            tier: Name of the tier.

        Raises:
            StoreError: The catalog cannot be used.
        """
        known = self._read("SELECT tier FROM mediums WHERE identity = ?", identity)
        if known != [(tier,)]:
            self._write(
                lambda connection: connection.execute(
                    "INSERT INTO mediums (identity, tier) VALUES (?, ?) "
                    "ON CONFLICT (identity) DO UPDATE SET tier = excluded.tier",
                    (identity, tier),
                )
            )

    def mediums(self) -> list[MediumRow]:
        """Every medium, in the order in which they were first seen."""
        found = self._read("SELECT identity, tier, used, entries FROM mediums ORDER BY id")
        return [MediumRow(*row) for row in found]

    def usage(self, medium: str) -> Usage:
        """Payload bytes and copies accounted on a medium."""
        found = self._read("SELECT used, entries FROM mediums WHERE identity = ?", medium)
        return Usage(*found[0]) if found else Usage(0, 0)

    def _medium(self, identity: str) -> int | None:
        if (number := self._media.get(identity)) is None:
            found = self._read("SELECT id FROM mediums WHERE identity = ?", identity)
            if not found:
                return None
            # only committed rows are seen here, and a medium's number never changes
            number = self._media[identity] = int(found[0][0])
        return number

    def _need_medium(self, identity: str) -> int:
        if (number := self._medium(identity)) is None:
            self.see_medium(identity, "")
            number = self._medium(identity)
        assert number is not None  # noqa: S101 - just inserted; media are never deleted
        return number

    # --- roots, copies, edges

    def record_put(
        self,
        roots: Iterable[RootRow],
        copies: Sequence[CopyRow],
        *,
        edges: Iterable[tuple[str, str]] = (),
        info: Mapping[str, Info] | None = None,
        reservations: Iterable[Reservation] = (),
    ) -> None:
        """Record what a put did, all of it or nothing, synced when this returns.

        Args:
            roots: The roots that it made; none for a child, or a put that found too few tiers.
            copies: Copies that are now on their media; a row that is there already is replaced.
            edges: Parent and child keys of links.
            info: What the user said, by key.
            reservations: Room that is now in use and is released.

        Raises:
            StoreError: Nothing was recorded, and the reservations still stand.
        """
        numbered = [(self._need_medium(row.medium), row) for row in copies]
        made, links, said = list(roots), list(edges), dict(info or {})

        def work(connection: Connection) -> None:
            rows.put_copies(connection, numbered)
            for root in made:
                rows.put_root(connection, root)
            if links:
                rows.put_edges(connection, links)
            for key, value in said.items():
                rows.put_info(connection, key, value)

        self._write(work)
        self.reservations.release(reservations)

    def remove_root(self, key: str) -> bool:
        """Make a blob no root any more; its copies stay until they are collected.

        Returns:
            True if it was one.

        Raises:
            StoreError: It is still one.
        """

        def work(connection: Connection) -> bool:
            gone = connection.execute("DELETE FROM roots WHERE key = ? RETURNING key", (key,)).fetchall()
            rows.tidy(connection, key)
            return bool(gone)

        return self._write(work)

    def forget_copy(self, key: str, medium: str) -> bool:
        """Delete the row of a copy that its medium gave up, with the rows of what its closure carried.

        Args:
            key: Plain key.
            medium: Identity of the medium.

        Returns:
            True if there was one.

        Raises:
            StoreError: The row is still there.
        """
        number = self._medium(medium)
        return number is not None and self._write(
            lambda connection: rows.forget_copy(connection, key, number)
        )

    def root(self, key: str) -> RootRow | None:
        """The root of this key, or None."""
        found = self._read("SELECT key, cid, size, type, encoding, created FROM roots WHERE key = ?", key)
        return RootRow(*found[0]) if found else None

    def roots(self) -> Iterator[RootRow]:
        """Every root in the order of its key; those that come or go meanwhile may be missed or shown."""
        after = ""
        while True:
            page = self._read(
                "SELECT key, cid, size, type, encoding, created FROM roots "
                "WHERE key > ? ORDER BY key LIMIT ?",
                after,
                _PAGE,
            )
            yield from (RootRow(*row) for row in page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def copies(self, key: str) -> list[CopyRow]:
        """The catalogued copies of a blob, each medium's own before those that a root carries."""
        found = self._read(
            "SELECT medium, stored, note, nodes_note, encoding, under FROM copies WHERE key = ?", key
        )
        return [
            CopyRow(key, self._name(medium), stored, note, nodes_note, encoding, under or None)
            for medium, stored, note, nodes_note, encoding, under in found
        ]

    def _name(self, number: int) -> str:
        if (name := self._names.get(number)) is None:
            ((name,),) = self._read("SELECT identity FROM mediums WHERE id = ?", number)
            self._names[number] = name
        return name

    def info(self, key: str) -> Info | None:
        """What the user said about a blob, or None."""
        found = self._read("SELECT value FROM info WHERE key = ?", key)
        return rows.info_from(found[0][0]) if found else None

    def counts(self) -> Counts:
        """How many roots, pinned blobs and copies there are."""
        ((roots, pins, copies),) = self._read(
            "SELECT (SELECT count(*) FROM roots), (SELECT count(DISTINCT key) FROM pins), "
            "(SELECT coalesce(sum(entries), 0) FROM mediums)"
        )
        return Counts(roots, pins, copies)

    # --- pins

    def pin(self, key: str, name: str = "") -> None:
        """Pin a blob under a name; a pin that exists keeps its time.

        Raises:
            StoreError: It is not pinned.
        """
        self._write(
            lambda connection: connection.execute(
                "INSERT OR IGNORE INTO pins (key, name, created) VALUES (?, ?, ?)", (key, name, time.time())
            )
        )

    def unpin(self, key: str, name: str = "") -> bool:
        """Drop a pin.

        Returns:
            True if there was one of this name.

        Raises:
            StoreError: It is still there.
        """

        def work(connection: Connection) -> bool:
            gone = connection.execute(
                "DELETE FROM pins WHERE key = ? AND name = ? RETURNING key", (key, name)
            ).fetchall()
            rows.tidy(connection, key)
            return bool(gone)

        return self._write(work)

    def pinned(self, key: str) -> bool:
        """True if a pin is on this very blob."""
        return bool(self._read("SELECT 1 FROM pins WHERE key = ? LIMIT 1", key))

    def pins(self) -> list[tuple[str, str]]:
        """Key and name of every pin, in their order."""
        return [(key, name) for key, name in self._read("SELECT key, name FROM pins ORDER BY key, name")]

    # --- what reaches what

    def children(self, key: str) -> list[str]:
        """Keys that a blob links to, in the order of their text."""
        with self._guard:
            return graph.children(self._db.execute, key)

    def parents(self, key: str) -> list[str]:
        """Keys that link to a blob, in the order of their text."""
        with self._guard:
            return graph.parents(self._db.execute, key)

    def protects(self, key: str) -> bool:
        """True if a root or a pin is, or reaches, the blob."""
        with self._guard:
            return graph.protects(self._db.execute, key)

    def reachable(self) -> set[str]:
        """Every key that a root or a pin is or reaches, those without a copy too."""
        with self._guard:
            return graph.reachable(self._db.execute)

    def unreachable_copies(self, medium: str) -> list[CopyRow]:
        """Copies on a medium that no root and no pin reaches: what `gc` may free there.

        Before each is given up, look at what is `carried`: it may be the last copy of a child that is kept.

        Args:
            medium: Identity of the medium.
        """
        number = self._medium(medium)
        if number is None:
            return []
        with self._guard:
            return graph.unreachable_copies(self._db.execute, number, medium)

    def would_free(self, key: str) -> Freed:
        """Blobs, and bytes of their copies, that only this root holds, removed already or not."""
        with self._guard:
            return graph.would_free(self._db.execute, key)

    def carried(self, key: str, medium: str) -> list[str]:
        """Blobs that are kept and that a closure on a medium carries.

        Args:
            key: Plain key of the closure's root.
            medium: Identity of the medium.
        """
        number = self._medium(medium)
        if number is None:
            return []
        with self._guard:
            return graph.carried(self._db.execute, key, number)

    # --- the two ways to the database

    def _read(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        with self._guard:
            found: list[tuple[Any, ...]] = self._db.execute(sql, bindings).fetchall()
            return found

    def _write(self, call: Callable[[Connection], T]) -> T:
        with self._guard:
            return self._db.write(call)
