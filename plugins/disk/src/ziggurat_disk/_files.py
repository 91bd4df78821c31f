"""Large blobs: one file each, written aside, synced and renamed."""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from ziggurat.backend import Blob, ByteRange, Dag
from ziggurat.errors import ContentMismatch, RangeError, TierUnavailable, Unsupported
from ziggurat_disk._errors import Translated
from ziggurat_disk._folders import sync_folder

__all__ = ["ASIDE", "Files", "Staged", "beyond", "measured", "size_of"]

ASIDE = "tmp"
_PIECE = 1 << 20  # bytes of one read or write
_WHOLE = 2 << 20  # up to here, the largest block, a read answers bytes
_EARLY = 16 << 20  # bytes after which the medium is told to begin writing


def size_of(content: bytes | Blob | Dag) -> int:
    """Bytes that the content of a put says it has.

    Raises:
        Unsupported: It is a DAG, which a backend of the bytes form is never given.
    """
    if isinstance(content, Dag):
        raise Unsupported("a disk tier keeps bytes, not the blocks of a DAG")
    return content.size if isinstance(content, Blob) else len(content)


def measured(content: bytes | Blob, key: str) -> Iterator[bytes | bytearray | memoryview]:
    """Yield the pieces of a put's content, and raise unless they have the size that it declared.

    Raises:
        ContentMismatch: It is shorter or longer than it said.
        Exception: Whatever reading the content raised.
    """
    size = size_of(content)
    if isinstance(content, Blob):
        done = 0
        for piece in content.chunks():
            done += len(piece)
            if done > size:
                break
            yield piece
        if done != size:
            often = "more" if done > size else f"{done}"
            raise ContentMismatch(
                f"content of {key} gave {often} bytes where it declared {size}; nothing was kept",
                cid=key.partition(".")[0],
            )
    else:
        view = memoryview(content)
        for start in range(0, size, 4 * _PIECE):
            yield view[start : start + 4 * _PIECE]


def beyond(what: str, size: int, part: ByteRange) -> RangeError:
    """The error for a range that a copy does not have: it was cut short, since the core knows the size."""
    return RangeError(f"{what} has {size} bytes, not the {part.stop} of the range: verify the tier")


class Staged:
    """A whole file that no reader sees yet.

    Its lock, held until the end, tells other processes that its writer is alive.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path, self.fd = path, fd

    def publish(self, path: str) -> None:
        """Give the file its place; what was there is replaced."""
        os.rename(self.path, path)
        self.path = ""

    def close(self) -> None:
        """Drop the file unless it was published."""
        if self.path:
            with suppress(OSError):
                os.unlink(self.path)
            self.path = ""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class _Reader:
    """An open file, or a range of it, behind a `Blob`."""

    def __init__(self, fd: int, offset: int, size: int, errors: Translated) -> None:
        self._fd, self._offset, self._size, self._errors = fd, offset, size, errors

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def pread(self, view: memoryview, offset: int) -> int:
        room = memoryview(view)[: max(0, self._size - offset)]
        with self._errors:
            return os.preadv(self._open(), [room], self._offset + offset)

    def chunks(self) -> Iterator[bytes]:
        done = 0
        while done < self._size:
            with self._errors:
                piece = os.pread(self._open(), min(_PIECE, self._size - done), self._offset + done)
            if not piece:
                raise TierUnavailable("a blob's file was cut short while it was read; verify the tier")
            done += len(piece)
            yield piece

    def _open(self) -> int:
        if self._fd < 0:
            raise TierUnavailable("a blob was read after it was closed; get it again")
        return self._fd

    def __del__(self) -> None:
        self.close()


class Files:
    """The files of one medium, ``files/<two characters>/<key>``, and ``tmp/`` where they are written.

    The two characters are the last of the CID, which differ from blob to blob. Visible changes
    (`Staged.publish`, `remove`) are made by one writer at a time: the caller sees to that.

    Args:
        folder: The tier's folder.
        durable: True to sync files and folders.
        errors: Translates what the file system raises.
    """

    def __init__(self, folder: str, *, durable: bool, errors: Translated) -> None:
        self._files, self._tmp = f"{folder}/files", f"{folder}/{ASIDE}"
        self._durable, self._errors = durable, errors
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def path(self, key: str) -> str:
        """Where the file of a key is."""
        return f"{self._files}/{key.partition('.')[0][-2:]}/{key}"

    def size(self, key: str) -> int | None:
        """Bytes of a key's file, None when there is none."""
        try:
            return os.stat(self.path(key)).st_size
        except FileNotFoundError:
            return None

    def read(self, key: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        """Open a key's file: a short answer as bytes, a long one as an open `Blob`."""
        path = self.path(key)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            size, offset = os.fstat(fd).st_size, 0
            if byte_range is not None:
                if byte_range.stop > size:
                    raise beyond(path, size, byte_range)
                size, offset = byte_range.length, byte_range.offset
            if size <= _WHOLE:
                data = os.pread(fd, size, offset)
                if len(data) == size:
                    return data
            reader = _Reader(fd, offset, size, self._errors)
            fd = -1
            return Blob(size, reader.chunks, close=reader.close, pread=reader.pread)
        finally:
            if fd >= 0:
                os.close(fd)

    def stage(self, key: str, content: bytes | Blob) -> Staged:
        """Write content aside, whole and, when durable, synced; its place has a folder afterwards."""
        with self._errors:
            self._make_shard(key)
            staged = self._aside()
        job: Future[None] | None = None
        try:
            behind = 0
            for piece in measured(content, key):
                with self._errors:
                    view = memoryview(piece)
                    behind += len(view)
                    while view:
                        view = view[os.write(staged.fd, view) :]
                    if self._durable and behind >= _EARLY and (job is None or job.done()):
                        if job is not None:
                            job.result()
                        behind, job = 0, self._workers().submit(os.fdatasync, staged.fd)
            with self._errors:
                if job is not None:
                    job.result()
                if self._durable:
                    os.fsync(staged.fd)
        except BaseException:
            if job is not None:
                job.exception()  # it must not touch the file once that is closed
            staged.close()
            raise
        return staged

    def sync(self, key: str) -> None:
        """Bring the coming or going of a key's file to the medium, when durable."""
        if self._durable:
            sync_folder(os.path.dirname(self.path(key)))

    def remove(self, key: str) -> bool:
        """Remove a key's file; tell whether there was one."""
        try:
            os.unlink(self.path(key))
        except FileNotFoundError:
            return False
        return True

    def scan(self) -> Iterator[str]:
        """List the keys that have a file; nothing else that may lie in the folders."""
        for shard in os.listdir(self._files):
            with suppress(NotADirectoryError):
                for key in os.listdir(f"{self._files}/{shard}"):
                    if key.partition(".")[0][-2:] == shard:
                        yield key

    def clean(self) -> None:
        """Remove what dead writers left aside; a living one holds its file's lock."""
        for name in os.listdir(self._tmp):
            path = f"{self._tmp}/{name}"
            with suppress(OSError):  # published meanwhile, alive, or another user's: not in anybody's way
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                finally:
                    os.close(fd)

    def close(self) -> None:
        """End the helper threads."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _aside(self) -> Staged:
        while True:
            path = f"{self._tmp}/{uuid.uuid4().hex}"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            staged = Staged(path, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_nlink:  # else a cleaner took it before it was locked
                    return staged
            except BaseException:
                staged.close()
                raise
            staged.close()

    def _make_shard(self, key: str) -> None:
        # One level only: a medium that went away is not to be made again.
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(self.path(key)))
            if self._durable:
                sync_folder(self._files)

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2, thread_name_prefix="ziggurat-disk-sync")
            return self._pool
