"""Directories within a service: copied, moved and removed, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from ziggurat.errors import TierError, TierUnavailable, Unsupported
from ziggurat_s3.files._copy import remove
from ziggurat_s3.files._directory_transfers import existing
from ziggurat_s3.files._equality import proves_equal
from ziggurat_s3.files._listing import everything
from ziggurat_s3.files._parallel import Job, Many
from ziggurat_s3.files._records import (
    DirectoryReport,
    FileFailure,
    FileResult,
    Listed,
    ProgressCallback,
    address_of,
)
from ziggurat_s3.files._service import Service, Task
from ziggurat_s3.files._single_files import copy_file, move_file

__all__ = ["copy_directory", "move_directory", "remove_directory"]

_BATCH = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html


def _check_apart(many: Many, bucket: str, prefix: str) -> None:
    """Refuse a directory inside the other: what is read would be written at the same time."""
    if bucket == many.bucket and (prefix.startswith(many.prefix) or many.prefix.startswith(prefix)):
        raise Unsupported(
            f"{address_of(many.bucket, many.prefix)} and {address_of(bucket, prefix)} lie in one another:"
            " go by a directory beside them",
            op=many.op,
            key=many.prefix,
        )


def copy_directory(
    service: Service, many: Many, to_bucket: str, to_prefix: str, progress: ProgressCallback
) -> DirectoryReport:
    """Copy what is in a directory, except what is there already and equal."""
    _check_apart(many, to_bucket, to_prefix)
    there = {row.key: (row.size, row.e_tag) for row in everything(service, many.op, to_bucket, to_prefix)}

    def one(row: Listed, target: Task) -> FileResult:
        source = Task(many.op, row.bucket, row.key)
        size = row.size or 0
        if _is_root(row, target):
            return FileResult("skipped", target.bucket, target.key, 0, source=source.address)
        if proves_equal(size, row.e_tag, *there.get(target.key, (None, ""))):
            return FileResult("skipped", target.bucket, target.key, size, row.e_tag, source=source.address)
        made = copy_file(service, source, target)
        progress(made.size)
        return made

    return many.run(_jobs(service, many, to_bucket, to_prefix, one))


def move_directory(
    service: Service, many: Many, to_bucket: str, to_prefix: str, progress: ProgressCallback
) -> DirectoryReport:
    """Move what is in a directory: each file is deleted when its own copy was compared."""
    _check_apart(many, to_bucket, to_prefix)

    def one(row: Listed, target: Task) -> FileResult:
        source = Task(many.op, row.bucket, row.key)
        if _is_root(row, target):
            remove(service, source)
            return FileResult("removed", row.bucket, row.key, 0, row.e_tag, row.last_modified)
        made = move_file(service, source, target)
        progress(made.size)
        return made

    return many.run(_jobs(service, many, to_bucket, to_prefix, one))


def _jobs(
    service: Service, many: Many, to_bucket: str, to_prefix: str, one: Callable[[Listed, Task], FileResult]
) -> Iterator[Job]:
    for row in existing(service, many):
        target = Task(many.op, to_bucket, to_prefix + row.key[len(many.prefix) :])
        yield Job(row.key, None, partial(one, row, target))


def _is_root(row: Listed, target: Task) -> bool:
    """Whether this marks the directory itself, and goes to the top of a bucket, which needs no marker.

    Raises:
        Unsupported: It has content, for which there is no key.
    """
    if not target.key and row.size:
        raise Unsupported(
            f"{row.address} has content, and no name in {target.address}: copy it alone, under one",
            op=target.op,
            key=row.key,
        )
    return not target.key


def remove_directory(service: Service, many: Many) -> DirectoryReport:
    """Delete what is in a directory, a thousand in one request where the service can."""
    results: list[FileResult] = []
    failures: list[FileFailure] = []
    listing = everything(service, many.op, many.bucket, many.prefix)
    rows = many.listed(listing, lambda: bool(results or failures), failures)
    one_by_one, after = False, ""
    while batch := list(islice(rows, _BATCH)):
        # XML cannot hold most control characters, so these are not named in a list.
        odd = [row for row in batch if one_by_one or not row.key.isprintable()]
        even = [row for row in batch if not one_by_one and row.key.isprintable()]
        errors: dict[str, TierError] = {}
        if even:
            try:
                errors = _batch(service, many, even)
            except Unsupported:
                one_by_one, odd = True, batch
        errors |= _singly(service, many, odd)
        errors |= _still_there(service, many, [row for row in batch if row.key not in errors], after)
        after = batch[-1].key
        for row in batch:
            told: FileResult | FileFailure
            if row.key in errors:
                told = FileFailure(row.bucket, row.key, None, errors[row.key])
                failures.append(told)
            else:
                told = FileResult("removed", row.bucket, row.key, row.size or 0, row.e_tag, row.last_modified)
                results.append(told)
            many.tell(told)
    return many.ended(results, failures)


def _batch(service: Service, many: Many, rows: Sequence[Listed]) -> dict[str, TierError]:
    """Delete in one request; what could not be deleted, with why."""
    task = Task(many.op, many.bucket, many.prefix)
    named: Any = {"Objects": [{"Key": row.key} for row in rows], "Quiet": True}
    try:
        answer = service.call(
            task, partial(service.s3.delete_objects, Bucket=many.bucket, Delete=named, **service.asking)
        )
    except Unsupported:
        raise
    except TierError as error:
        return {row.key: error for row in rows}
    return {
        told["Key"]: _refused(service, many, told) for told in answer.get("Errors", ()) if told.get("Key")
    }


def _refused(service: Service, many: Many, told: Any) -> TierError:
    from botocore.exceptions import ClientError

    # One object's refusal has no status of its own: its code says whether it may pass.
    response: Any = {"Error": told, "ResponseMetadata": {"HTTPStatusCode": 400}}
    error = service.errors(many.bucket).tell(ClientError(response, "DeleteObjects"))
    if error is None:
        error = TierUnavailable(str(told.get("Message", "")))
    error.op, error.key = many.op, told["Key"]
    error.message = f"{address_of(many.bucket, told['Key'])}: {error.message}"
    return error


def _singly(service: Service, many: Many, rows: Sequence[Listed]) -> dict[str, TierError]:
    errors: dict[str, TierError] = {}
    for row in rows:
        try:
            remove(service, Task(many.op, row.bucket, row.key))
        except TierError as error:
            errors[row.key] = error
    return errors


def _still_there(service: Service, many: Many, rows: Sequence[Listed], after: str) -> dict[str, TierError]:
    """What is listed all the same: some services call deleted what they keep.

    rclone says so of a name that is too long for its disk, versitygw of control characters, which it lists as
    something else.

    Args:
        service: Where.
        many: The directory.
        rows: What was deleted, not more than a page.
        after: Key of the last one before them, "" for none.
    """
    task = Task(many.op, many.bucket, many.prefix)
    more = {**service.asking, **({"StartAfter": after} if after else {})}
    ask = partial(service.s3.list_objects_v2, Bucket=many.bucket, Prefix=many.prefix, **more)
    try:
        page: Any = service.call(task, ask)
    except TierError as error:
        return {row.key: error for row in rows}
    left = {row["Key"] for row in page.get("Contents", ())}
    return {
        row.key: TierUnavailable(
            f"{row.address}: the service says that it was deleted, and lists it still: look at it there",
            op=many.op,
            key=row.key,
        )
        for row in rows
        if row.key in left
    }
