"""The second file of the catalog: what may be lost, and therefore never waits for the disk.

Residency of persistent caches, reservations, access counts and tallies live here and are never synced. A
process that dies loses nothing of it: the system still holds its writes. A power cut may tear the file, so
the catalog proper notes, synced, the boot under which the file is in use, and clears that note when the last
user has closed and synced it. A lone opener that finds another boot's note discards the file. A cache without
a row in `caches` is then *unknown*: nothing is admitted to it until what it holds has been listed anew
(`Residency.adopt`), so bytes without a row never escape the accounts.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ziggurat.catalog.guard import Guard
from ziggurat.catalog.process import boot_id, is_alive, process_identity
from ziggurat.catalog.schema import APPLICATION, VOLATILE, VOLATILE_VERSION
from ziggurat.catalog.sql import Connection
from ziggurat.errors import StoreError
from ziggurat.sqlite import Database, Execute

__all__ = ["Note", "Volatile"]

T = TypeVar("T")
_log = logging.getLogger("ziggurat.catalog")
_serial = itertools.count(1)
_REAP_EVERY = 2.0
_DAMAGED = "damaged"


class Note:
    """The synced note of the catalog proper: the boot under which the volatile part is in use, or "".

    Args:
        select: Reads rows of the catalog proper.
        change: Runs a piece of writing on it, synced when it returns.
    """

    def __init__(
        self,
        select: Callable[[str], list[tuple[Any, ...]]],
        change: Callable[[Callable[[Connection], object]], object],
    ) -> None:
        self._select, self._change = select, change

    def read(self) -> str:
        """Read it."""
        return str(self._select("SELECT value FROM meta WHERE name = 'volatile'")[0][0])

    def write(self, value: str) -> None:
        """Set it; synced when this returns."""
        self._change(
            lambda connection: connection.execute(
                "UPDATE meta SET value = ? WHERE name = 'volatile'", (value,)
            )
        )


class Volatile:
    """The open volatile part, as one owner among those of other processes.

    Made while the caller holds the catalog's turn.

    Args:
        path: The database file.
        note: The catalog's synced note.
        alone: True if no other process uses the catalog: what others left behind is then nobody's.
    """

    def __init__(self, path: Path, note: Note, alone: bool) -> None:
        self.path, self._note = path, note
        self.guard = Guard(path, self._damaged)
        self._lock = threading.Lock()
        self._owner = 0
        self._reaped = time.monotonic()
        written = note.read()
        if alone and written and written != boot_id():
            _log.warning("the index of the caches was not closed before the last boot: it starts anew")
            self._discard()
        try:
            self._db = self._open()
        except Exception as error:
            import apsw

            if not alone or not isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
                with self.guard:
                    raise
            _log.warning("the index of the caches is damaged: it starts anew")
            self._discard()
            with self.guard:
                self._db = self._open()
        if alone:
            with self.guard:
                self._bury(_nobody_lives)

    def _open(self) -> Database:
        database = Database(self.path, durable=False)
        try:
            ((version,),) = database.execute("PRAGMA user_version").fetchall()
            if version != VOLATILE_VERSION:
                database.write(_make)
        except BaseException:
            database.close()
            raise
        return database

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _damaged(self) -> None:
        # the next process that opens the catalog alone starts anew
        self._note.write(_DAMAGED)

    @property
    def execute(self) -> Execute:
        """The calling thread's read cursor; use it within `guard`."""
        return self._db.execute

    def write(self, call: Callable[[Connection], T]) -> T:
        """Run `call` in one unsynced transaction.

        Raises:
            StoreError: The file cannot be written.
        """
        self.owner()
        with self.guard:
            return self._db.write(call)

    def owner(self) -> int:
        """The number of this owner.

        Raises:
            StoreError: The file cannot be written.
        """
        return self._owner or self._enter()

    def _enter(self) -> int:
        """Become an owner, and note that the file is in use before anything is written to it."""
        with self._lock:
            if not self._owner:
                with self.guard:
                    if self._note.read() not in (boot_id(), _DAMAGED):
                        self._note.write(boot_id())
                    # two stores of one process are two owners, hence the serial number
                    name = f"{process_identity()}#{next(_serial)}"
                    self._owner = self._db.write(lambda connection: _insert_owner(connection, name))
            return self._owner

    def reap(self, force: bool = False) -> None:
        """Free what dead processes reserved, and orphan the rows that they were filling or evicting.

        Args:
            force: True to look now; otherwise at most every two seconds.
        """
        now = time.monotonic()
        if force or now - self._reaped > _REAP_EVERY:
            self._reaped = now
            with self.guard:
                self._bury(lambda identity: is_alive(identity.partition("#")[0]) is not False)

    def _bury(self, lives: Callable[[str], bool]) -> None:
        rows = self.execute("SELECT id, identity FROM owners WHERE id <> ?", (self._owner,)).fetchall()
        dead = [owner for owner, identity in rows if not lives(identity)]
        if dead:
            self._db.write(lambda connection: _forget_owners(connection, dead))

    def close(self, alone: bool) -> None:
        """Give up what this owner holds and close; within the catalog's turn.

        Args:
            alone: True if no other process uses the catalog: then the file is synced and the note cleared.
        """
        if self.guard.closed or not self.guard.here:
            return
        try:
            with self.guard:
                if self._owner:
                    self._db.write(lambda connection: _forget_owners(connection, [self._owner]))
        except StoreError as error:  # then others free it once this process has ended
            _log.warning("%s", error)
        finally:
            self.guard.closed = True
            self._db.close()
        written = self._note.read()
        if alone and written and written != _DAMAGED and self._sync():
            self._note.write("")

    def _sync(self) -> bool:
        """Sync the closed file; False if its log was not folded into it."""
        if self.path.with_name(self.path.name + "-wal").exists():
            return False
        for place in (self.path, self.path.parent):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return True


def _nobody_lives(identity: str) -> bool:  # noqa: ARG001 - stands in for a question about it
    return False


def _make(connection: Connection) -> None:
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version == VOLATILE_VERSION:
        return
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f'DROP TABLE "{table}"')
    for _ in connection.execute(VOLATILE):
        pass
    connection.execute(f"PRAGMA user_version = {VOLATILE_VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _insert_owner(connection: Connection, identity: str) -> int:
    ((owner,),) = connection.execute(
        "INSERT INTO owners (identity) VALUES (?) RETURNING id", (identity,)
    ).fetchall()
    return int(owner)


def _forget_owners(connection: Connection, owners: list[int]) -> None:
    for owner in owners:
        # whether the bytes of these rows exist is unknown: they count until somebody has evicted them
        connection.execute("UPDATE residency SET owner = 0, dying = 1 WHERE owner = ?", (owner,))
        connection.execute("DELETE FROM reservations WHERE owner = ? AND key = ''", (owner,))
        # what the put of a key left on its medium is unknown too: it counts until somebody has looked
        connection.execute("UPDATE reservations SET owner = 0 WHERE owner = ?", (owner,))
        connection.execute("DELETE FROM owners WHERE id = ?", (owner,))
