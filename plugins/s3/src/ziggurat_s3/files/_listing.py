"""What is in a bucket, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ziggurat.errors import TierUnavailable
from ziggurat_s3.files._keys import directory_prefix
from ziggurat_s3.files._records import Listed
from ziggurat_s3.files._service import Service, Task, tag

__all__ = ["everything", "level"]


def everything(service: Service, op: str, bucket: str, directory: str) -> Iterator[Listed]:
    """Every object in a directory and below, in the order of the service.

    Raises:
        TierError: A page could not be had; what was yielded is true, and not all.
    """
    for page in _pages(service, Task(op, bucket, directory_prefix(directory))):
        yield from _objects(bucket, page)


def level(service: Service, op: str, bucket: str, directory: str) -> Iterator[Listed]:
    """What stands directly in a directory: objects, and directories that stand for what is below.

    Raises:
        TierError: A page could not be had; what was yielded is true, and not all.
    """
    prefix = directory_prefix(directory)
    for page in _pages(service, Task(op, bucket, prefix), Delimiter="/"):
        rows = [Listed(bucket, one["Prefix"], "directory") for one in page.get("CommonPrefixes", ())]
        rows += [row for row in _objects(bucket, page) if row.key != prefix]
        yield from sorted(rows, key=lambda row: row.key.encode())


def _pages(service: Service, task: Task, **more: Any) -> Iterator[Any]:
    token: dict[str, Any] = {}
    while True:
        told = {**token, **more, **service.asking}
        ask = partial(service.s3.list_objects_v2, Bucket=task.bucket, Prefix=task.key, **told)
        page: Any = service.call(task, ask)
        for row in page.get("Contents", ()):
            if not row["Key"].startswith(task.key):  # what is listed may be deleted or moved next
                raise _wrong(task, f"names {row['Key']!r}, which is not below it")
        yield page
        if not page.get("IsTruncated"):
            return
        following = {"ContinuationToken": page.get("NextContinuationToken")}
        if not following["ContinuationToken"] or following == token:
            raise _wrong(task, "says that there is more, and not where")
        token = following


def _wrong(task: Task, what: str) -> TierUnavailable:
    return TierUnavailable(
        f"{task.address}: the service's listing {what}: use another service, or report this to its maker",
        op=task.op,
        key=task.key,
    )


def _objects(bucket: str, page: Any) -> Iterator[Listed]:
    for row in page.get("Contents", ()):
        yield Listed(
            bucket=bucket,
            key=row["Key"],
            type="directory" if row["Key"].endswith("/") and not row["Size"] else "file",
            size=row["Size"],
            e_tag=tag(row.get("ETag")),
            last_modified=row.get("LastModified"),
            storage_class=row.get("StorageClass") or "",
        )
