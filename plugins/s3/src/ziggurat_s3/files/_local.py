"""Files on this machine: written aside and given their place whole, in a folder that nothing leaves."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from attrs import frozen

from ziggurat.errors import ContentMismatch, Unsupported

__all__ = ["Aside", "Folder", "LocalFile", "Source", "refuse_special", "sources", "special"]

_ANONYMOUS = getattr(os, "O_TMPFILE", 0)
_CAREFUL = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe must not wait for its writer
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Aside:
    """A file that nobody sees before it is whole; use it as a context manager and `publish` at the end.

    Where the system can, it has no name until then, so that not even a kill leaves a part of it behind.

    Args:
        folder: Descriptor of the folder that it gets its place in.
        name: In that folder; what is there under it is replaced.
        path: For messages.
    """

    def __init__(self, folder: int, name: str, path: Path) -> None:
        self._folder, self._name, self._path = folder, name, path
        self._aside = ""
        self._fd = -1

    def __enter__(self) -> Self:
        with _named(self._path):
            try:
                if not _ANONYMOUS:
                    raise OSError(errno.EOPNOTSUPP, "no files without a name")
                flags = _ANONYMOUS | os.O_RDWR | os.O_CLOEXEC
                self._fd = os.open(".", flags, 0o666, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                    raise
                self._aside = self._other_name()
                flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
                self._fd = os.open(self._aside, flags, 0o666, dir_fd=self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        if self._aside:
            with suppress(OSError):
                os.unlink(self._aside, dir_fd=self._folder)

    def write(self, piece: bytes | memoryview) -> None:
        """Append bytes."""
        left = memoryview(piece)
        with _named(self._path):
            while left:
                left = left[os.write(self._fd, left) :]

    def restart(self) -> None:
        """Forget what was written."""
        with _named(self._path):
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)

    def publish(self) -> None:
        """Give it its place."""
        with _named(self._path):
            if not self._aside:
                aside = self._other_name()
                # A descriptor's name in /proc is followed only where the system call is asked to.
                os.link(
                    f"/proc/self/fd/{self._fd}",
                    aside,
                    src_dir_fd=self._folder,
                    dst_dir_fd=self._folder,
                    follow_symlinks=True,
                )
                self._aside = aside
            os.rename(self._aside, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._aside = ""

    def _other_name(self) -> str:
        return f".{uuid.uuid4().hex}.part"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of the system say which file it is about."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def special(path: Path) -> Unsupported:
    """The error for a socket, a pipe or a device, such as /dev/null, in the place of a download."""
    return Unsupported(f"{str(path)!r} is no regular file, and is not replaced: name a file")


def refuse_special(folder: int, path: Path) -> None:
    """Refuse to replace a socket, a pipe or a device by a file.

    Args:
        folder: Descriptor of the folder that it stands in.
        path: Its last name is looked for there.

    Raises:
        Unsupported: One has that place.
    """
    try:
        mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:  # nothing there, or nothing that can be seen
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
        raise special(path)


class Folder:
    """A folder on this machine that paths below it cannot leave: no symlink is followed on the way.

    Args:
        path: Made if need be; it may be a symlink itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @contextmanager
    def inside(self, names: Sequence[str]) -> Iterator[int]:
        """The descriptor of a folder below, made if need be.

        Args:
            names: Of the folders on the way, none of them "." or "..".

        Raises:
            OSError: Something that is no folder stands in the way, such as a symlink.
        """
        fd = os.dup(self._fd)
        try:
            for count, name in enumerate(names, 1):
                with _named(self.path.joinpath(*names[:count])):
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=fd)
                    below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def regular(self, folder: int, path: Path) -> Iterator[BinaryIO | None]:
        """The open file that has the last name of a path in a folder below; None unless a regular file has.

        Args:
            folder: Its descriptor.
            path: Of the file.
        """
        try:
            fd = os.open(path.name, _CAREFUL | os.O_NOFOLLOW, dir_fd=folder)
        except OSError:  # not there, a symlink, not ours to read: whatever has its place is replaced
            yield None
            return
        with os.fdopen(fd, "rb") as file:
            yield file if stat.S_ISREG(os.fstat(fd).st_mode) else None


class LocalFile:
    """An open file that is uploaded; `check` tells whether it stayed as it was.

    Args:
        path: Of a regular file.

    Raises:
        OSError: It cannot be read.
        Unsupported: It is no regular file.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, _CAREFUL)
        try:
            self._before = os.fstat(fd)
            if stat.S_ISDIR(self._before.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            if not stat.S_ISREG(self._before.st_mode):
                raise Unsupported(f"{str(path)!r} is no regular file")
        except BaseException:
            os.close(fd)
            raise
        self.file = os.fdopen(fd, "rb", buffering=0)
        self.path = path
        self.size = self._before.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def check(self) -> None:
        """Raise when it was written since it was opened.

        Raises:
            ContentMismatch: It has another size or time; nothing of it was stored.
        """
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise ContentMismatch(
                f"{str(self.path)!r} changed while it was read; nothing of it was stored: upload it again"
            )


@frozen
class Source:
    """Something found in a folder.

    Attributes:
        path: Where it is.
        relative: Its names below the folder, joined by slashes.
        kind: "empty" is a directory without anything in it.
        why: What forbids to upload it; "" for nothing.
    """

    path: Path
    relative: str
    kind: str
    why: str = ""


def sources(folder: Path) -> Iterator[Source]:
    """Everything in a folder, in the order of names, directories themselves left out unless they are empty.

    A symlink to a regular file in the folder is that file's content. One that leads elsewhere, to a directory
    or nowhere is refused by name, as sockets, pipes and devices are.

    Raises:
        OSError: The folder cannot be read.
    """
    root = folder.resolve(strict=True)
    yield from _below(folder, root, "")


def _below(folder: Path, root: Path, prefix: str) -> Iterator[Source]:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if not entries and prefix:
        yield Source(folder, prefix.removesuffix("/"), "empty")
    for entry in entries:
        path, relative = folder / entry.name, prefix + entry.name
        if entry.is_symlink():
            yield Source(path, relative, "file", _link(path, root))
        elif entry.is_dir(follow_symlinks=False):
            try:
                yield from _below(path, root, f"{relative}/")
            except OSError as error:
                yield Source(
                    path, relative, "file", f"cannot be read: {(error.strerror or str(error)).lower()}"
                )
        elif entry.is_file(follow_symlinks=False):
            yield Source(path, relative, "file")
        else:
            yield Source(path, relative, "file", "is a socket, a pipe or a device")


def _link(path: Path, root: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "is a symlink that leads nowhere"
    if not target.is_relative_to(root):
        return "is a symlink that leaves the folder"
    return "" if target.is_file() else "is a symlink to a directory: its files are uploaded where they are"
