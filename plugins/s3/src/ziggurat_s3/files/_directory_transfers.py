"""Directories between this machine and a bucket: every file below, several at once, what is equal skipped."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from attrs import evolve

from ziggurat.errors import Unsupported
from ziggurat_s3.files._equality import equals_file
from ziggurat_s3.files._keys import path_of
from ziggurat_s3.files._listing import everything
from ziggurat_s3.files._local import Folder, LocalFile, Source, sources
from ziggurat_s3.files._parallel import Job, Many
from ziggurat_s3.files._records import (
    DirectoryReport,
    FileResult,
    Listed,
    ObjectNotFound,
    ProgressCallback,
    address_of,
)
from ziggurat_s3.files._service import Service, Task
from ziggurat_s3.files._single_files import download_to, make_directory, upload_file
from ziggurat_s3.files._upload import part_size

__all__ = ["download", "existing", "upload"]


def upload(service: Service, many: Many, folder: Path, progress: ProgressCallback) -> DirectoryReport:
    """Upload what is in a folder."""
    found = list(sources(folder))
    wanted = {many.prefix + one.relative + "/" * (one.kind == "empty"): one for one in found}
    if not found and many.prefix:
        wanted[many.prefix] = Source(folder, "", "empty")
    listing = everything(service, many.op, many.bucket, many.prefix)
    there = {row.key: row for row in listing if row.key in wanted}

    def jobs() -> Iterator[Job]:
        for key, one in wanted.items():
            task = Task(many.op, many.bucket, key)
            yield Job(key, one.path, partial(_up, service, task, one, there.get(key), progress))

    return many.run(jobs())


def _up(
    service: Service, task: Task, one: Source, there: Listed | None, progress: ProgressCallback
) -> FileResult:
    if one.why:
        raise Unsupported(f"{str(one.path)!r} {one.why}: leave it out", op=task.op, key=task.key)
    size = there.size if there is not None else None
    if there is not None and size is not None:
        skipped = FileResult(
            "skipped", task.bucket, task.key, size, there.e_tag, there.last_modified, one.path
        )
        if one.kind == "empty":
            return skipped
        with LocalFile(one.path) as local:
            if equals_file(local.file, size, there.e_tag, part_size(size)):
                return skipped
    if one.kind == "empty":
        return evolve(make_directory(service, task), local_path=one.path)
    return upload_file(service, task, one.path, progress=progress)


def existing(service: Service, many: Many) -> Iterator[Listed]:
    """What is in a directory that is there.

    Raises:
        ObjectNotFound: Nothing is, and it is not the bucket itself.
    """
    nothing = True
    for row in everything(service, many.op, many.bucket, many.prefix):
        nothing = False
        yield row
    if nothing and many.prefix:
        raise ObjectNotFound(
            f"{address_of(many.bucket, many.prefix)}: there is no such directory: list what is there",
            op=many.op,
            key=many.prefix,
        )


def download(service: Service, many: Many, folder: Path, progress: ProgressCallback) -> DirectoryReport:
    """Download what is in a directory."""
    rows = existing(service, many)
    first = next(rows, None)  # before the folder is made
    with Folder(folder) as target:

        def jobs() -> Iterator[Job]:
            row = first
            while row is not None:
                relative = row.key[len(many.prefix) :]
                if relative or row.size:  # the folder itself is there; content under its name is no file
                    work = partial(_down, service, many.op, row, relative, target, progress)
                    yield Job(row.key, folder / relative.lstrip("/"), work)
                row = next(rows, None)

        return many.run(jobs())


def _down(
    service: Service, op: str, row: Listed, relative: str, target: Folder, progress: ProgressCallback
) -> FileResult:
    task = Task(op, row.bucket, row.key)
    with service.told(task):
        names, marker = path_of(relative)
        if marker and row.type != "directory":
            raise Unsupported("a key that ends with '/' has content: download it alone, under a name")
    path = target.path.joinpath(*names)
    if marker:
        with target.inside(names):
            return FileResult("made", row.bucket, row.key, 0, row.e_tag, row.last_modified, path)
    size = row.size or 0
    with target.inside(names[:-1]) as inner:
        with target.regular(inner, path) as held:
            if held is not None and equals_file(held, size, row.e_tag, part_size(size)):
                return FileResult("skipped", row.bucket, row.key, size, row.e_tag, row.last_modified, path)
        return download_to(service, task, inner, path, progress)
