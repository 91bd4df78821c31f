"""Every copy on one opened medium: rows for small blobs, files for large ones, one answer for both.

A key may have a row in ``small.db``, a file, or for a moment both. **The row is what counts; a file behind
a row is garbage.** Everything that readers could notice (a row comes or goes, a file is renamed or unlinked)
happens inside a transaction of the database, whose one writer at a time, among all processes, keeps two
changes of a key apart:

- A small blob replaces a large one: the row is committed, which is the moment of change, then the file goes.
- A large blob replaces a small one: the file is renamed behind the row, then the row's end is committed.
- Evicting takes the file first, then the row: the garbage behind it must never come to light.

A crash in between leaves garbage behind a row. The table ``hidden`` names the keys where that may be, and
the next process to open the medium tidies them. A reader that finds neither row nor file may have looked
while the blob crossed over; ``moves`` counts crossings and tells it to look again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ziggurat.backend import Blob, ByteRange
from ziggurat.errors import TierError, TierUnavailable
from ziggurat.sqlite import Database
from ziggurat_disk._errors import Translated, gone
from ziggurat_disk._files import Files, beyond, size_of
from ziggurat_disk._folders import refuse_network
from ziggurat_disk._marker import MARKER

if TYPE_CHECKING:
    import apsw

__all__ = ["Copies", "make_copies"]

T = TypeVar("T")

_MMAP = 1 << 30  # bytes of the database that are read without a system call
_SPARE = 64 << 10  # bytes of free pages beyond twice the blob: its index and other puts take some too

# An ordinary table: WITHOUT ROWID is more than twice as slow to read with values of some KiB.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS small (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS hidden (key TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS moves (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO moves VALUES (1, 0)",
)
_GET = "SELECT data FROM small WHERE key = ?"
_LOOK = "SELECT (SELECT data FROM small WHERE key = ?), count FROM moves"
_SIZE = "SELECT length(data) FROM small WHERE key = ?"  # reads no data
_MEASURE = "SELECT (SELECT length(data) FROM small WHERE key = ?), count FROM moves"
_HAS = "SELECT 1 FROM small WHERE key = ?"
_KEYS = "SELECT key FROM small WHERE key > ? ORDER BY key LIMIT 1000"
# On conflict the row keeps its place, so that a repair writes over the damaged pages.
_PUT = "INSERT INTO small (key, data) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data"
_DROP = "DELETE FROM small WHERE key = ?"
_MOVES = "SELECT count FROM moves"
_MOVED = "UPDATE moves SET count = count + 1"
_HIDE = "INSERT OR IGNORE INTO hidden VALUES (?)"
_BARE = "DELETE FROM hidden WHERE key = ?"


def make_copies(folder: str) -> None:
    """Lay out an empty medium in a folder that exists; what is there already stays."""
    refuse_network(folder)
    for name in ("files", "tmp"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    database = Database(_database(folder), durable=True)
    try:
        database.write(_make_tables)
    finally:
        database.close()


def _make_tables(connection: apsw.Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)


def _database(folder: str) -> Path:
    return Path(folder, "small.db")


class Copies:
    """The copies on a medium that is there and has a marker.

    Args:
        folder: The tier's folder.
        durable: True to sync whatever a call changed before it returns.
        small: Blobs of fewer bytes become rows.
        errors: Translates what the disk raises.
        logger: Where tidying reports what it could not do.

    Raises:
        TierError: The medium cannot be used.
    """

    def __init__(
        self, folder: str, *, durable: bool, small: int, errors: Translated, logger: logging.Logger
    ) -> None:
        self._folder, self._small, self._errors, self._logger = folder, small, errors, logger
        self._marker = f"{folder}/{MARKER}"
        with errors:
            refuse_network(folder)
            found = os.stat(self._marker)
            self._medium = (found.st_dev, found.st_ino)
            os.stat(_database(folder))  # SQLite would make an empty one: blobs lost would be blobs absent
            self._files = Files(folder, durable=durable, errors=errors)
            self._files.clean()
            self._db = Database(_database(folder), durable=durable, mmap=_MMAP)
            try:
                hidden = [key for (key,) in self._db.execute("SELECT key FROM hidden").fetchall()]
                self._crossings = self._moves()  # as they were last seen
            except BaseException:
                self._db.close()
                raise
        self._tidy(hidden)

    def get(self, key: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        """Give a copy, or a range of it, open; None if there is none."""
        try:
            data: bytes | None = self._db.execute(_GET, (key,)).get
            if data is None:
                found: bytes | Blob | None
                data, found = self._find(_LOOK, key, partial(self._files.read, key, byte_range))
                if data is None:
                    return found
        except Exception as error:
            if told := self._errors.tell(error):  # spelled out: this is the path that every small read takes
                raise told from error
            raise
        if type(data) is not bytes:
            raise self._errors.damaged()
        return data if byte_range is None else self._cut(key, data, byte_range)

    def size(self, key: str) -> int | None:
        """Bytes of a copy, None if there is none."""
        with self._errors:
            size: int | None = self._db.execute(_SIZE, (key,)).get
            if size is None:
                size, found = self._find(_MEASURE, key, partial(self._files.size, key))
                return found if size is None else size
            return size

    def put(self, key: str, content: bytes | Blob) -> int:
        """Keep a copy, whole and at once; return its bytes.

        Raises:
            ContentMismatch: The content is shorter or longer than it declared.
            Exception: Whatever reading the content raised, unchanged.
            TierError: The disk could not keep it.
        """
        size = size_of(content)
        if size < self._small:
            data = content.read() if isinstance(content, Blob) else bytes(content)
            with self._errors:
                behind = self._db.write(lambda connection: self._put_row(connection, key, data))
            if behind:
                self._tidy([key])
        else:
            self._put_file(key, content)
        return size

    def put_rows(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Keep several small blobs in one transaction: all of them or none.

        Raises:
            TierError: The disk could not keep them.
        """
        with self._errors:
            behind = self._db.write(
                lambda connection: [key for key, data in items if self._put_row(connection, key, data)]
            )
        self._tidy(behind)

    def is_small(self, size: int) -> bool:
        """Tell whether a blob of so many bytes becomes a row."""
        return size < self._small

    def evict(self, key: str) -> bool:
        """Drop a copy; tell whether there was one."""
        with self._errors:
            if self.size(key) is None:
                return False
            row = file = False

            def drop(connection: apsw.Connection) -> None:
                nonlocal row, file
                self.check()
                file = self._files.remove(key)
                connection.execute(_DROP, (key,))
                row = connection.changes() > 0
                if row and file:
                    self._files.sync(key)  # before the row's end is: the file must not come back after it
                connection.execute(_BARE, (key,))

            try:
                self._db.write(drop)
            except Exception:
                if row or not file:
                    raise
                # Only a neighbour's part of the shared commit failed: the file is gone.
            if file and not row:
                self._files.sync(key)
            return row or file

    def keys(self) -> Iterator[str]:
        """List every copy's key, each once.

        Raises:
            TierError: The list could not be completed.
        """
        with self._errors:
            moves, last = self._moves(), ""
            while page := self._db.execute(_KEYS, (last,)).fetchall():
                for (key,) in page:
                    if not isinstance(key, str) or key <= last:  # out of order, it might never end
                        raise self._errors.damaged()
                    yield key
                    last = key
            for key in self._files.scan():
                if self._db.execute(_HAS, (key,)).get is None:
                    yield key
                else:
                    self._tidy([key])
            self.check()
            if self._moves() != moves:
                raise TierUnavailable("blobs changed their place during the scan: scan again", retryable=True)

    def fits_inside(self, size: int) -> bool:
        """Tell whether a blob fits into room that the database gave up before: its file never shrinks."""
        spare = self._db.execute("PRAGMA freelist_count").get * self._db.execute("PRAGMA page_size").get
        return size < self._small and 2 * size + _SPARE <= spare

    def check(self) -> None:
        """Raise unless the medium that was opened is still at its path."""
        try:
            found = os.stat(self._marker)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise gone(self._folder) from error
        if (found.st_dev, found.st_ino) != self._medium:
            raise TierUnavailable(f"another medium is now at {self._folder}: open the store again")

    def close(self) -> None:
        """Close the database and end the helper threads."""
        self._files.close()
        self._db.close()

    def _cut(self, key: str, data: bytes, part: ByteRange) -> bytes:
        if part.stop > len(data):
            raise beyond(key, len(data), part)
        return data[part.offset : part.stop]

    def _find(self, statement: str, key: str, in_file: Callable[[], T | None]) -> tuple[Any, T | None]:
        """Look for a copy's file, after a look that found no row.

        What is in neither may have crossed over between the two looks. Then it has a row by now, or has
        crossed over once more, and the count of crossings has grown since it was last seen.

        Args:
            statement: Selects what is wanted of the row (None if there is none), and the count.
            key: The copy's key.
            in_file: Looks for the same in the file.

        Returns:
            What is in the row, what is in the file: one of them, or neither.
        """
        seen = self._crossings
        while (file := in_file()) is None:
            self.check()  # an empty mount point is not an absent blob
            row, crossings = self._row(statement, key)
            if row is not None or crossings == seen:
                return row, None
            seen = self._crossings = crossings
        return None, file

    def _row(self, statement: str, key: str) -> tuple[Any, int]:
        found: tuple[Any, int] | None = self._db.execute(statement, (key,)).get
        if found is None:
            raise self._errors.damaged()
        return found

    def _moves(self) -> int:
        count: int | None = self._db.execute(_MOVES).get
        if count is None:
            raise self._errors.damaged()
        return count

    def _put_row(self, connection: apsw.Connection, key: str, data: bytes) -> bool:
        """Write a row; tell whether a file is now behind it."""
        self.check()
        connection.execute(_PUT, (key, data))
        if self._files.size(key) is None:
            return False
        connection.execute(_HIDE, (key,))
        connection.execute(_MOVED)
        return True

    def _put_file(self, key: str, content: bytes | Blob) -> None:
        with self._errors:
            self.check()  # and once more at the end: a long write is not to be in vain
        staged = self._files.stage(key, content)
        published = row = False

        def publish(connection: apsw.Connection) -> None:
            nonlocal published, row
            self.check()
            staged.publish(self._files.path(key))
            published = True
            connection.execute(_DROP, (key,))
            row = connection.changes() > 0
            if row:
                self._files.sync(key)  # before the row's end is: one of the two must survive
                connection.execute(_BARE, (key,))
                connection.execute(_MOVED)

        try:
            with self._errors:
                if self._db.execute(_HAS, (key,)).get is not None:
                    self._db.write(lambda connection: connection.execute(_HIDE, (key,)))
                try:
                    self._db.write(publish)
                except Exception:
                    if row or not published:
                        raise
                    # Only a neighbour's part of the shared commit failed: the file is in its place.
                if not row:
                    self._files.sync(key)
        finally:
            staged.close()

    def _tidy(self, keys: Iterable[str]) -> None:
        """Remove files behind rows; what fails is tried again when the medium is opened next."""

        def tidy(connection: apsw.Connection) -> None:
            for key in keys:
                if connection.execute(_HAS, (key,)).get is not None and self._files.remove(key):
                    self._files.sync(key)
                connection.execute(_BARE, (key,))

        if keys:
            try:
                with self._errors:
                    self._db.write(tidy)
            except TierError as error:
                self._logger.warning("could not tidy %s: %s", self._folder, error)
