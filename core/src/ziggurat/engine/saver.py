"""Blobs and trees written to the local file system: what is new there appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ziggurat.content import DAG_PB, Cid, Node
from ziggurat.content.directory import MAX_PATH_DEPTH
from ziggurat.engine.paths import Paths, type_of
from ziggurat.engine.reader import Reader
from ziggurat.engine.records import Saved
from ziggurat.engine.session import Value
from ziggurat.errors import MalformedContent

__all__ = ["Saver", "whole_file"]

_DEVICES = Path("/dev")


@contextmanager
def whole_file(target: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Write a file under a name of its own, and give it its own when all of it is there.

    Args:
        target: The file. Its folder exists.
        overwrite: Replace a file or a symlink that is there; a directory or a device never is.

    Yields:
        Where to write.

    Raises:
        FileExistsError: Something is there that is not to be replaced.
        OSError: The file cannot be written; the error names `target`.
    """
    _refuse_taken(target, overwrite=overwrite)
    aside = _beside(target)
    try:
        file = aside.open("xb")
    except OSError as error:
        raise _about(target, error) from error
    try:
        with file:
            yield file
        _reveal(aside, target, overwrite=overwrite)
    finally:
        aside.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}")


def _about(target: Path, error: OSError) -> OSError:
    """The same error in terms of the name that the caller gave."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such folder; make it first", str(target.parent))
    return OSError(error.errno, error.strerror, str(target))


def _taken(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "exists already; choose another target, or overwrite", str(target))


def _refuse_taken(target: Path, *, overwrite: bool) -> None:
    try:
        mode = target.lstat().st_mode
    except OSError:  # not there, or the attempt to write there says why not
        return
    if not overwrite:
        raise _taken(target)
    if not (stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and not _leads_to_a_device(target))):
        raise FileExistsError(
            errno.EEXIST, "is no file, and only a file is replaced; choose another target", str(target)
        )


def _leads_to_a_device(link: Path) -> bool:
    """True for a symlink like /dev/stdout; any other is replaced itself, wherever it leads."""
    if link.parent.resolve() == _DEVICES:  # standard output is a file now, and a pipe for the next program
        return True
    try:
        mode = link.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _reveal(aside: Path, target: Path, *, overwrite: bool) -> None:
    """Give a finished file its name; without `overwrite` never in the place of another."""
    if not overwrite:
        try:
            os.link(aside, target)  # unlike a rename, it refuses what came meanwhile
        except OSError as error:
            if os.path.lexists(target):
                raise _about(target, error) from error
            # A file system without hard links.
        else:
            return
    try:
        aside.replace(target)
    except OSError as error:
        raise _about(target, error) from error


class Saver:
    """Writes blobs and trees to the local file system.

    A file, and a directory that is new, appears whole or not at all; a directory that is there is filled
    file by file.

    Args:
        reader: Reads content.
        paths: Reads directories.
        overwrite: Replace files and symlinks that are there.
        progress: Told the bytes that were written.
    """

    def __init__(
        self, reader: Reader, paths: Paths, *, overwrite: bool, progress: Callable[[int], None] | None
    ) -> None:
        self._reader, self._paths = reader, paths
        self._overwrite, self._progress = overwrite, progress
        self._size = self._files = 0

    def save(self, cid: Cid, target: Path) -> Saved:
        """Write a blob, or a directory with all beneath it.

        Raises:
            FileExistsError: Something is there, and it is not to be replaced.
            OSError: The target cannot be written.
        """
        value = self._value(cid)
        node = value if isinstance(value, Node) else None
        if node is not None and type_of(node, cid) == "directory" and not os.path.lexists(target):
            self._new_tree(cid, node, target)
        else:
            self._write(cid, value, target, 0)
        return Saved(cid, str(target), self._size, self._files)

    def _value(self, cid: Cid) -> Value:
        return self._reader.block(cid) if cid.codec == DAG_PB else b""

    def _new_tree(self, root: Cid, node: Node, target: Path) -> None:
        aside = _beside(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            aside.mkdir()
        except FileExistsError as error:  # a file above, which nobody asked to replace
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target)) from error
        except OSError as error:
            raise _about(target, error) from error
        try:
            self._fill(root, aside, 0)
            _restore(node, aside)
            try:
                aside.rename(target)
            except OSError as error:  # something came meanwhile
                raise _about(target, error) from error
        except BaseException as error:
            _drop(aside)
            if isinstance(error, OSError) and isinstance(error.filename, str):
                error.filename = error.filename.replace(str(aside), str(target), 1)
            raise

    def _write(self, cid: Cid, value: Value, target: Path, depth: int) -> None:
        node = value if isinstance(value, Node) else None
        kind = type_of(value, cid)
        if node is not None and kind == "directory":
            if target.is_symlink() or (target.exists() and not (self._overwrite and target.is_dir())):
                raise _taken(target)
            target.mkdir(exist_ok=True)
            self._fill(cid, target, depth)
        elif node is not None and kind == "symlink":
            self._symlink(cid, node, target)
            return
        else:
            self._file(cid, target)
        if node is not None:
            _restore(node, target)

    def _fill(self, root: Cid, folder: Path, depth: int) -> None:
        if depth > MAX_PATH_DEPTH:
            raise MalformedContent(f"{root} is nested deeper than {MAX_PATH_DEPTH} directories", cid=root)
        for name, link in self._paths.links(root):
            self._write(link.cid, self._value(link.cid), folder / _on_disk(name), depth + 1)

    def _symlink(self, cid: Cid, node: Node, target: Path) -> None:
        if not node.target or "\0" in node.target:
            raise MalformedContent(f"{cid} is a symlink to {node.target!a}, which is no path", cid=cid)
        _refuse_taken(target, overwrite=self._overwrite)
        target.unlink(missing_ok=True)
        try:
            target.symlink_to(_on_disk(node.target))
        except OSError as error:
            raise _about(target, error) from error
        self._files += 1

    def _file(self, cid: Cid, target: Path) -> None:
        with whole_file(target, overwrite=self._overwrite) as file:
            for piece in self._reader.stream(cid, 0, None)[1]:
                file.write(piece)
                self._size += len(piece)
                if self._progress is not None:
                    self._progress(len(piece))
        self._files += 1


def _on_disk(name: str) -> str:
    """What Python calls the name whose bytes are this text in UTF-8, whatever the locale."""
    return os.fsdecode(name.encode(errors="surrogateescape"))


def _drop(tree: Path) -> None:
    """Remove a tree, folders that were made read-only included."""
    for folder, below, _ in os.walk(tree):
        for name in below:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(tree, ignore_errors=True)


def _restore(node: Node, target: Path) -> None:
    """Set what UnixFS 1.5 recorded; never set-id bits."""
    if node.mode is not None:
        target.chmod(node.mode & 0o777)
    if node.mtime is not None:
        # A writer may state any 64-bit time; one that this system cannot hold is no reason to lose the file.
        with suppress(OverflowError, OSError):
            os.utime(target, (node.mtime, node.mtime))
