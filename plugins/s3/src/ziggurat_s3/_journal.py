"""Which multipart uploads this machine has begun: one small file each, locked while its owner lives.

The lock goes with the process, however it ends. So an entry whose lock can be taken is an upload that nobody
goes on with, and one that cannot is under way: no clock is asked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import define, field

__all__ = ["Entry", "Journal"]

_SUFFIX = ".s3-upload"


@define(eq=False)
class Entry:
    """One upload, locked by us.

    Attributes:
        name: Object that it becomes.
        upload: The service's identifier.
        part_size: Bytes of every part but the last.
        size: Bytes in all.
        made: What the object is made with: type, metadata, encryption.
        age: Seconds since it was last worked on.
    """

    name: str
    upload: str
    part_size: int
    size: int
    made: str
    age: float
    _path: str = field(alias="path")
    _fd: int = field(alias="fd")

    def touch(self) -> None:
        """Note that it was worked on."""
        with suppress(OSError):  # then it is given up a little early
            os.utime(self._fd)

    def leave(self) -> None:
        """Let somebody else go on with it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def done(self) -> None:
        """Forget it: it was completed, or given up at the service."""
        if self._fd >= 0:
            with suppress(OSError):  # who finds it learns from the service that there is no such upload
                Path(self._path).unlink(missing_ok=True)
        self.leave()


class Journal:
    """The entries of one bucket in a folder that processes share.

    Args:
        folder: Made when the first entry is.
        scope: Which service and bucket.
    """

    def __init__(self, folder: Path, scope: str) -> None:
        self._folder, self._scope = folder, scope
        self._start = f"{_short(scope)}-"

    def begin(self, name: str, upload: str, *, part_size: int, size: int, made: str) -> Entry:
        """Make an entry for an upload that was just begun.

        Raises:
            OSError: The folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = str(self._folder / f"{self._start}{_short(name)}-{uuid.uuid4().hex[:12]}{_SUFFIX}")
        fd = os.open(f"{path}.new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            record = {
                "scope": self._scope,
                "name": name,
                "upload": upload,
                "part_size": part_size,
                "size": size,
                "made": made,
            }
            os.write(fd, json.dumps(record).encode())
            Path(f"{path}.new").rename(path)
        except BaseException:
            with suppress(OSError):
                Path(f"{path}.new").unlink(missing_ok=True)
            os.close(fd)
            raise
        return Entry(name, upload, part_size, size, made, 0.0, path=path, fd=fd)

    def take(self, name: str) -> Entry | None:
        """An upload of an object that nobody goes on with, None if there is none."""
        return next(self._dead(f"{self._start}{_short(name)}-", name), None)

    def dead(self) -> Iterator[Entry]:
        """All uploads of the bucket that nobody goes on with."""
        return self._dead(self._start, None)

    def live(self) -> set[str]:
        """The service's identifiers of all uploads of the bucket that are under way on this machine."""
        found = set()
        for path in self._paths(self._start):
            entry = self._lock(path)
            if entry is not None:
                entry.leave()
                continue
            try:
                found.add(str(json.loads(Path(path).read_bytes())["upload"]))
            except (OSError, ValueError, TypeError, KeyError):
                continue  # done meanwhile
        return found

    def _paths(self, start: str) -> list[str]:
        try:
            found = sorted(os.listdir(self._folder))  # noqa: PTH208 - names only
        except OSError:
            return []
        return [
            str(self._folder / each) for each in found if each.startswith(start) and each.endswith(_SUFFIX)
        ]

    def _dead(self, start: str, name: str | None) -> Iterator[Entry]:
        for path in self._paths(start):
            entry = self._lock(path)
            if entry is not None and name in (None, entry.name):
                yield entry
            elif entry is not None:
                entry.leave()

    def _lock(self, path: str) -> Entry | None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(fd)
            if status.st_nlink == 0:  # done, while we waited
                raise FileNotFoundError(path)
            record = json.loads(os.pread(fd, 1 << 16, 0))
            if record["scope"] != self._scope:
                raise KeyError(path)
            return Entry(
                str(record["name"]),
                str(record["upload"]),
                int(record["part_size"]),
                int(record["size"]),
                str(record["made"]),
                max(0.0, time.time() - status.st_mtime),
                path=path,
                fd=fd,
            )
        except (OSError, ValueError, TypeError, KeyError):
            os.close(fd)
            return None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
