"""A directory of the local file system, walked bottom up and named.

One walk serves ``cid``, which only names, and the store's ``put_dir``, which keeps what is named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import BinaryIO, Literal

from attrs import define, field, frozen

from ziggurat.content.cid import Cid
from ziggurat.content.directory import DirectoryDag, DirEntry, build_directory, build_symlink
from ziggurat.content.importer import FileDag, file_reader, import_file
from ziggurat.content.profile import Profile
from ziggurat.errors import ContentMismatch, UnsupportedContent

__all__ = ["TreeItem", "open_regular", "walk_directory"]

_KINDS = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@frozen(eq=False)
class TreeItem:
    """A finished file, symlink or directory of the tree.

    Attributes:
        path: Beneath the root, "/" between; "" for the root itself.
        type: What it is.
        dag: Its root, nodes and sizes.
        source: Where it was read.
        file: A file's open bytes for a second pass; closed when the next item is asked for. None otherwise.
        target: Where a symlink points, else None.
    """

    path: str
    type: Literal["file", "directory", "symlink"]
    dag: FileDag | DirectoryDag
    source: Path
    file: BinaryIO | None = None
    target: str | None = None

    @property
    def cid(self) -> Cid:
        """Its CID."""
        return self.dag.root

    @property
    def size(self) -> int:
        """Plain bytes; of a directory the sum beneath, of a symlink 0."""
        return self.dag.size


@define
class _Folder:
    """A directory that is being walked: what is left of it, and what is finished."""

    source: Path
    path: str
    name: str
    left: Iterator[os.DirEntry[str]]
    done: list[DirEntry] = field(factory=list)


def walk_directory(
    root: str | os.PathLike[str],
    profile: Profile,
    *,
    pool: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[TreeItem]:
    """Name everything in a directory, each entry before the directory that holds it, the root last.

    Names are taken in the order of their UTF-8 bytes. Symlinks are not followed, except `root` itself. Hidden
    files are taken like any other. Memory grows with the depth and the number of names in the open
    directories, not with the bytes.

    Args:
        root: The directory.
        profile: How CIDs are made.
        pool: Hashes the leaves of a file in parallel.
        progress: Called with the number of bytes read since its last call.

    Yields:
        Each finished item. The consumer may read its `file` again before it asks for the next.

    Raises:
        UnsupportedContent: A fifo, socket or device, or a name that is not UTF-8.
        ContentMismatch: A file changed while it was read.
        OSError: Something cannot be read; `filename` says what.
    """
    folders = [_enter(Path(root), "", "")]
    while folders:
        folder = folders[-1]
        entry = next(folder.left, None)
        if entry is None:
            folders.pop()
            item = TreeItem(folder.path, "directory", build_directory(folder.done, profile), folder.source)
            if folders:
                _note(folders[-1], folder.name, item)
            yield item
            continue
        source, name = folder.source / entry.name, _bytes(entry).decode()
        path = f"{folder.path}/{name}" if folder.path else name
        if entry.is_dir(follow_symlinks=False):
            folders.append(_enter(source, path, name))
        elif entry.is_symlink():
            item = _symlink(source, path, profile)
            _note(folder, name, item)
            yield item
        else:
            with open_regular(source) as file:
                item = _file(file, source, path, profile, pool, progress)
                _note(folder, name, item)
                yield item


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file and nothing else: no symlink is followed, and no fifo is waited for.

    Raises:
        UnsupportedContent: It is something else.
        OSError: It cannot be opened.
    """
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        _refuse(path, mode)
    # What stood there may have been replaced since: O_NONBLOCK keeps a fifo from blocking the open.
    file = open(path, "rb", opener=_no_follow)  # noqa: SIM115 - Path.open has no opener; the caller closes
    try:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            _refuse(path, mode)
    except BaseException:
        file.close()
        raise
    return file


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _refuse(path: Path, mode: int) -> None:
    kind = _KINDS.get(stat.S_IFMT(mode), "no file")
    raise UnsupportedContent(
        f"{str(path)!r} is {kind}: only files, directories and symlinks can be stored; leave it out"
    )


def _enter(source: Path, path: str, name: str) -> _Folder:
    with os.scandir(source) as entries:
        found = sorted(entries, key=_bytes)
    for entry in found:
        try:
            _bytes(entry).decode()
        except UnicodeDecodeError:
            raise UnsupportedContent(
                f"the name {_bytes(entry)!r} in {str(source)!r} is not UTF-8; rename it"
            ) from None
    return _Folder(source, path, name, iter(found))


def _bytes(entry: os.DirEntry[str]) -> bytes:
    """The name as it is on the disk; Python decodes it by the locale, which need not be UTF-8."""
    return os.fsencode(entry.name)


def _note(folder: _Folder, name: str, item: TreeItem) -> None:
    folder.done.append(DirEntry(name, item.cid, item.dag.tsize, item.size))


def _symlink(source: Path, path: str, profile: Profile) -> TreeItem:
    target = os.fsencode(os.readlink(source)).decode(errors="surrogateescape")  # noqa: PTH115 - a Path would change "a//b/" to "a/b"
    return TreeItem(path, "symlink", build_symlink(target, profile), source, target=target)


def _file(
    file: BinaryIO,
    source: Path,
    path: str,
    profile: Profile,
    pool: Executor | None,
    progress: Callable[[int], None] | None,
) -> TreeItem:
    size = os.fstat(file.fileno()).st_size
    try:
        dag = import_file(file_reader(file.fileno()), size, profile, pool=pool, progress=progress)
    except OSError as error:
        error.filename = error.filename or str(source)
        raise
    except ContentMismatch as error:
        raise ContentMismatch(f"{str(source)!r}: {error.message}") from error
    return TreeItem(path, "file", dag, source, file)
