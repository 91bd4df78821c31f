"""One SQLite file, many threads and processes: own read connections, one writer with group commit.

The catalog and the disk backend share it, so that there is one way to open a database (WAL, busy time-out,
checks) and one way to commit. apsw brings its own SQLite: the system's may carry the WAL-reset bug of
3.7.0-3.51.2.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast
from weakref import WeakSet

from ziggurat.group import Group, Task

if TYPE_CHECKING:
    import apsw

    _Write: TypeAlias = Task[Callable[[apsw.Connection], Any], Any]

__all__ = ["Database", "Execute", "filesystem_of", "network_filesystem"]

T = TypeVar("T")
Execute = Callable[..., Any]

_FORKED = "was opened before a fork; open it again in this process"
_MOST = 256  # writes in one transaction
_PATIENCE = 30.0  # seconds that one process waits for another's transaction
_LOOK = 0.001  # seconds between two looks


MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = (
    "9p|acfs|afp|afpfs|afs|beegfs|ceph|cifs|coda|davfs|gfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs|nfs4|ocfs2"
    "|orangefs|panfs|pvfs2|smb|smb2|smb3|smbfs|webdav"
)
_REACHING = re.compile(
    rf"({_NETWORK})|fuse\.({_NETWORK}|ceph-fuse|curlftpfs|davfs2|gcsfuse|goofys|gvfsd-fuse|juicefs|mfs|moosefs"
    "|mount-s3|rclone|s3fs|s3ql|seaweedfs|smbnetfs|sshfs|weed)"
)


def network_filesystem(folder: Path, mounts: Path = MOUNTS) -> str:
    """Tell whether a database must not be in a folder, because its file system reaches over a network.

    The write-ahead log needs memory that all its users share, and locks that work; over a network there is
    neither (https://sqlite.org/wal.html, "All processes using a database must be on the same host computer").

    Args:
        folder: It need not exist.
        mounts: The table of mounts, see proc_pid_mountinfo(5); where there is none, nothing is told.

    Returns:
        The type of the file system, such as "nfs4", or "" for one of this machine.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not Linux: nothing to ask
        return ""
    kind = filesystem_of(folder.resolve(), table) or ""
    return kind if _REACHING.fullmatch(kind) else ""


def filesystem_of(path: Path, mountinfo: str) -> str | None:
    """Find the type of the file system that holds a path.

    Args:
        path: Absolute and resolved; it need not exist.
        mountinfo: Text in the format of ``/proc/self/mountinfo``, see proc_pid_mountinfo(5).

    Returns:
        A type such as "ext4" or "fuse.sshfs", or None if no mount point holds the path.
    """
    best, found = -1, None
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")[0]
        if not separator or len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        depth = len(point.parts)
        # of two mounts on one point the later one covers the earlier one
        if depth >= best and path.is_relative_to(point):
            best, found = depth, kind
    return found


class _Patience:
    """Waits for another process, looking again often.

    SQLite's own busy time-out sleeps ever longer, up to 100 ms, so that of two processes that write
    without a pause one starves for seconds.
    """

    def __init__(self) -> None:
        self._since = 0.0

    def __call__(self, calls: int) -> bool:
        if calls == 0:
            self._since = time.monotonic()
        time.sleep(_LOOK)
        return time.monotonic() - self._since < _PATIENCE


class Database:
    """A WAL database that threads read in parallel and write in groups.

    Errors are apsw's own: the owner of the database translates them.

    Args:
        path: The file; its folder exists.
        durable: True to sync each commit (what `write` returned survives a power cut).
        mmap: Bytes of the file to map into memory for reading, 0 for none.
    """

    def __init__(self, path: Path, *, durable: bool, mmap: int = 0) -> None:
        self.path, self._durable, self._mmap = path, durable, mmap
        self._pid = os.getpid()
        self._local = threading.local()
        # Weak, so that a thread's connection goes with the thread.
        self._all: WeakSet[apsw.Connection] = WeakSet()
        self._all_lock = threading.Lock()
        self._closed = False
        self._group: Group[Callable[[apsw.Connection], Any], Any] = Group(self._commit, _MOST)
        self._turn = threading.Lock()  # of who leads, and of `close`
        self._writer = self._connect()

    def _connect(self) -> apsw.Connection:
        import apsw

        if self._closed or os.getpid() != self._pid:
            why = "is closed" if self._closed else _FORKED
            raise RuntimeError(f"database {self.path} {why}")
        connection = apsw.Connection(str(self.path))
        connection.set_busy_handler(_Patience())
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", 2 if self._durable else 0)
        if self._mmap:
            connection.pragma("mmap_size", self._mmap)
        with self._all_lock:
            self._all.add(connection)
        return connection

    @property
    def execute(self) -> Execute:
        """The calling thread's read cursor: ``execute(sql, bindings)``, one statement a call.

        The cursor is reused, so take what it yields before the next call of the same thread.
        """
        execute: Execute
        try:
            execute = self._local.execute
        except AttributeError:
            connection = self._connect()
            self._local.connection = connection
            execute = self._local.execute = connection.cursor().execute
        return execute

    def write(self, call: Callable[[apsw.Connection], T]) -> T:
        """Run `call` in a write transaction, shared with whoever else is waiting, and commit it.

        Each call has a savepoint of its own: one that raises is undone alone.

        Args:
            call: Gets the writing connection; must not commit, and must not call `write`.

        Returns:
            What `call` returned, once it is committed (and synced, when durable).
        """
        if os.getpid() != self._pid:  # whoever led in the parent does not go on here
            raise RuntimeError(f"database {self.path} {_FORKED}")
        return cast("T", self._group.do(call))

    def _commit(self, batch: list[_Write]) -> None:
        with self._turn:
            if self._closed:
                raise RuntimeError(f"database {self.path} is closed")
            connection = self._writer
            results: list[tuple[_Write, Any]] = []
            ready = committed = False
            try:
                connection.execute("BEGIN IMMEDIATE")
                if len(batch) == 1:  # nobody else's work to keep apart from
                    results.append((batch[0], batch[0].item(connection)))
                else:
                    results.extend(_apart(connection, batch))
                ready = True
                connection.execute("COMMIT")
                committed = True
            except BaseException as error:
                # An interrupt that came while it committed is raised once it has.
                committed = ready and not isinstance(error, Exception) and not connection.in_transaction
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                if committed:
                    for task, result in results:
                        task.finish(result)

    def close(self) -> None:
        """Close every connection; harmless when repeated, and in a forked child.

        A statement that another thread is in the middle of is waited for.
        """
        if self._closed or os.getpid() != self._pid:
            return
        with self._turn, self._all_lock:
            self._closed = True
            for connection in list(self._all):
                _close(connection)
            self._all.clear()


def _apart(connection: apsw.Connection, batch: list[_Write]) -> Iterator[tuple[_Write, Any]]:
    """Do each write in a savepoint of its own, and give those that did not fail."""
    for task in batch:
        connection.execute("SAVEPOINT work")
        try:
            result = task.item(connection)
        except Exception as error:  # raised in the thread whose write it is
            if not connection.in_transaction:  # no room, or the medium failed: SQLite undid it all
                raise
            connection.execute("ROLLBACK TO work")
            task.fail(error)
        else:
            yield task, result
        connection.execute("RELEASE work")


def _close(connection: apsw.Connection) -> None:
    import apsw

    while True:
        try:
            return connection.close()
        except apsw.ThreadingViolationError:
            time.sleep(0.001)
