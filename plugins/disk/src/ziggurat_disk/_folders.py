"""Folders and small files that survive a power cut, and what kind of file system they are on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ziggurat.errors import TierUnavailable
from ziggurat.sqlite import network_filesystem

__all__ = ["locked", "make_folder", "refuse_network", "sync_folder", "write_whole"]


def sync_folder(folder: str) -> None:
    """Bring the names in a folder to the medium."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: str, *, durable: bool) -> None:
    """Make a folder and its parents; with `durable`, their names survive a power cut."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise NotADirectoryError(20, "not a folder", folder) from None
        return
    except FileNotFoundError:
        make_folder(os.path.dirname(folder), durable=durable)
        with suppress(FileExistsError):
            os.mkdir(folder)
    if durable:
        sync_folder(os.path.dirname(folder))


def write_whole(path: str, data: bytes) -> None:
    """Write a small file so that readers, and a power cut, see all of it or none.

    The caller is the only writer; what a crash leaves aside the next call overwrites.
    """
    aside = f"{path}.new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(aside, path)
    sync_folder(os.path.dirname(path))


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold a folder alone among processes and threads; a process that dies lets go of it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def refuse_network(folder: str) -> None:
    """Refuse a network file system: SQLite's locks and shared memory do not work on one.

    Args:
        folder: The tier's folder; it need not exist.

    Raises:
        TierUnavailable: The folder is on a network file system.
    """
    if kind := network_filesystem(Path(folder)):
        raise TierUnavailable(f"{folder} is on a network file system ({kind}): use a folder on a local disk")
