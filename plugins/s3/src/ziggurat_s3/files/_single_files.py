"""One file: up, down, copied, moved, removed, and what travels with it."""

from __future__ import annotations

import errno
import io
import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ziggurat.errors import Unsupported
from ziggurat_s3.files._copy import copy, drop_source, remove
from ziggurat_s3.files._download import Fetched, fetch
from ziggurat_s3.files._keys import directory_prefix
from ziggurat_s3.files._local import Aside, LocalFile, refuse_special, special
from ziggurat_s3.files._records import FileResult, ObjectChanged, ObjectInfo, ProgressCallback
from ziggurat_s3.files._service import Service, Task
from ziggurat_s3.files._upload import Travels, part_size, pieces, upload

__all__ = [
    "copy_file",
    "download_file",
    "download_object",
    "download_to",
    "get_object",
    "make_directory",
    "move_file",
    "remove_file",
    "set_metadata",
    "upload_file",
    "upload_object",
]

_DEVICES = Path("/dev")


def upload_file(
    service: Service,
    task: Task,
    path: Path,
    travels: Travels | None = None,
    progress: ProgressCallback | None = None,
) -> FileResult:
    """Upload a regular file; its name tells its media type unless something else is said."""
    if travels is None or travels.content_type is None:
        guessed, packed = mimetypes.guess_type(path.name)
        travels = Travels(None if packed else guessed, travels.metadata if travels else {})
    with LocalFile(path) as local:
        size = part_size(local.size)
        stream = pieces(local.file, size) if local.size >= size else iter([local.file.readall()])
        done, e_tag = upload(service, task, stream, size, travels, check=local.check, progress=progress)
    return FileResult("uploaded", task.bucket, task.key, done, e_tag, local_path=path)


def upload_object(
    service: Service, task: Task, file: BinaryIO, travels: Travels, progress: ProgressCallback | None
) -> FileResult:
    """Upload what a binary file gives from where it stands to its end."""
    size = part_size(_left(file))
    done, e_tag = upload(service, task, pieces(file, size), size, travels, progress=progress)
    return FileResult("uploaded", task.bucket, task.key, done, e_tag)


def _left(file: BinaryIO) -> int | None:
    """Bytes that a file will give, None when it cannot tell."""
    try:
        at = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(at)
    except (AttributeError, OSError, ValueError):
        return None
    return end - at


def download_file(service: Service, task: Task, path: Path, progress: ProgressCallback | None) -> FileResult:
    """Download to a path, which has the whole content or is as it was."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # Such as /dev/stdout, a symlink, which may lead to a file now and to a pipe in the next program.
    if (path.exists() and not path.is_file()) or path.parent.resolve() == _DEVICES:
        raise special(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return download_to(service, task, folder, path, progress)
    finally:
        os.close(folder)


def download_to(
    service: Service, task: Task, folder: int, path: Path, progress: ProgressCallback | None
) -> FileResult:
    """Download to the last name of a path, in the folder of a descriptor."""
    refuse_special(folder, path)
    with Aside(folder, path.name, path) as aside:
        got = fetch(service, task, aside, progress=progress)
        aside.publish()
    return _downloaded(task, got, path)


def _downloaded(task: Task, got: Fetched, path: Path | None = None) -> FileResult:
    return FileResult(
        "downloaded",
        task.bucket,
        task.key,
        got.size,
        got.e_tag,
        got.last_modified,
        path,
        checked=got.checked,
    )


class _Stream:
    """A file of the user's that takes the bytes of an object."""

    def __init__(self, file: BinaryIO, task: Task) -> None:
        self._file, self._task = file, task

    def write(self, piece: bytes | memoryview) -> None:
        left = memoryview(bytes(piece))
        while left:
            taken = self._file.write(left)
            if taken is None and isinstance(self._file, io.RawIOBase):  # it took nothing
                raise BlockingIOError(errno.EAGAIN, "the file is non-blocking: make it blocking")
            left = left[len(left) if taken is None else taken :]

    def restart(self) -> None:
        """What a file of the user's has taken stays there."""
        raise ObjectChanged(
            f"{self._task.address}: the object changed while it was read: the file has a part of what it was",
            op=self._task.op,
            key=self._task.key,
            retryable=True,
        )


def download_object(
    service: Service, task: Task, file: BinaryIO, progress: ProgressCallback | None
) -> FileResult:
    """Write an object's bytes to a binary file, from where it stands."""
    got = fetch(service, task, _Stream(file, task), progress=progress)
    return _downloaded(task, got)


class _Bytes:
    """Takes the bytes of an object in memory."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes | memoryview) -> None:
        self.pieces.append(bytes(piece))

    def restart(self) -> None:
        self.pieces.clear()


def get_object(service: Service, task: Task) -> bytes:
    """Read an object into memory."""
    taken = _Bytes()
    fetch(service, task, taken)
    return taken.pieces[0] if len(taken.pieces) == 1 else b"".join(taken.pieces)


def copy_file(service: Service, source: Task, target: Task) -> FileResult:
    """Copy an object with what travels with it."""
    made = copy(service, source, target).made
    return FileResult(
        "copied", made.bucket, made.key, made.size, made.e_tag, made.last_modified, source=source.address
    )


def move_file(service: Service, source: Task, target: Task) -> FileResult:
    """Copy an object, compare the copy, and only then delete the source."""
    if (source.bucket, source.key) == (target.bucket, target.key):
        raise Unsupported(f"{source.address} is moved onto itself", op=source.op, key=source.key)
    copied = copy(service, source, target)
    drop_source(service, copied, source.op)
    made = copied.made
    return FileResult(
        "moved", made.bucket, made.key, made.size, made.e_tag, made.last_modified, source=source.address
    )


def remove_file(service: Service, task: Task) -> FileResult | None:
    """Delete an object, None when there was none."""
    there = service.head(task)
    if there is None:
        return None
    remove(service, task)
    return FileResult("removed", task.bucket, task.key, there.size, there.e_tag, there.last_modified)


def make_directory(service: Service, task: Task) -> FileResult:
    """Put the empty object that stands for a directory, unless it is there."""
    marker = Task(task.op, task.bucket, directory_prefix(task.key))
    there = service.head(marker) if marker.key else None
    if there is not None:
        return FileResult("skipped", marker.bucket, marker.key, there.size, there.e_tag, there.last_modified)
    _, e_tag = upload(service, marker, iter(()), part_size(0), Travels())
    return FileResult("made", marker.bucket, marker.key, 0, e_tag)


def set_metadata(
    service: Service, task: Task, metadata: Mapping[str, str], content_type: str | None
) -> ObjectInfo:
    """Say all user metadata anew; what else travels with the object stays."""
    with service.told(task):
        Travels(content_type, metadata).check()
    before = service.found(task)
    said: dict[str, Any] = {**before.headers, "Metadata": dict(metadata)}
    if kind := content_type or before.content_type:
        said["ContentType"] = kind
    if before.encryption.startswith("aws:kms"):  # a copy would have the bucket's own way
        said |= {"ServerSideEncryption": before.encryption, "SSEKMSKeyId": before.encryption_key}
    return copy(service, task, task, said).made
