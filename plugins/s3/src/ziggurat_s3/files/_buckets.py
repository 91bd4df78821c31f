"""Buckets: made, listed, looked for, deleted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ziggurat.errors import TierError, Unsupported
from ziggurat_s3._answers import answer_of
from ziggurat_s3.files._records import BucketInfo
from ziggurat_s3.files._service import Service, Task
from ziggurat_s3.files._unfinished import any_unfinished

__all__ = ["bucket_exists", "create_bucket", "delete_bucket", "list_buckets"]

_CLASSIC = "us-east-1"  # the one region that a request must not name


def list_buckets(service: Service) -> list[BucketInfo]:
    """Every bucket of the account."""
    rows: list[BucketInfo] = []
    token: dict[str, Any] = {}
    while True:
        page: Any = service.call(Task("list_buckets", ""), partial(service.s3.list_buckets, **token))
        rows += [BucketInfo(one["Name"], one.get("CreationDate")) for one in page.get("Buckets", ())]
        if not page.get("ContinuationToken"):
            return rows
        token = {"ContinuationToken": page["ContinuationToken"]}


def bucket_exists(service: Service, bucket: str) -> bool:
    """Whether there is such a bucket; one that may not be looked at raises."""
    task = Task("bucket_exists", bucket)
    try:
        service.call(task, lambda: service.s3.head_bucket(Bucket=bucket))
    except TierError as error:
        answer = answer_of(error.__cause__)
        if answer is None or not 300 <= answer.status < 500:
            raise
    else:
        return True
    # A HEAD has no body that says why: some services answer 404 to an access key that they do not know.
    try:
        service.call(task, lambda: service.s3.list_objects_v2(Bucket=bucket, MaxKeys=1, **service.asking))
    except TierError as error:
        answer = answer_of(error.__cause__)
        if answer is not None and answer.code == "NoSuchBucket":
            return False
        raise
    return True


def create_bucket(service: Service, bucket: str) -> None:
    """Make a bucket in the region of the configuration."""
    region = service.clients.region
    where: Any = {} if region == _CLASSIC else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    service.call(Task("create_bucket", bucket), lambda: service.s3.create_bucket(Bucket=bucket, **where))


def delete_bucket(service: Service, bucket: str) -> None:
    """Delete an empty bucket."""
    try:
        service.call(Task("delete_bucket", bucket), lambda: service.s3.delete_bucket(Bucket=bucket))
    except TierError as error:
        answer = answer_of(error.__cause__)
        if answer is not None and answer.code == "BucketNotEmpty":
            raise Unsupported(
                f"bucket {bucket!r} is not empty: it holds {_held(service, bucket)}", op="delete_bucket"
            ) from error
        raise


def _held(service: Service, bucket: str) -> str:
    """What keeps a bucket from being deleted, each with what removes it; as far as the service tells."""
    task = Task("delete_bucket", bucket)
    more = {"Bucket": bucket, **service.asking}
    rows = partial(service.s3.list_objects_v2, MaxKeys=1, **more)
    older = partial(service.s3.list_object_versions, MaxKeys=2, **more)
    looks: tuple[tuple[str, Callable[[], bool]], ...] = (
        (
            f"objects, which empty_bucket and 'ziggurat s3 rm -r --all {task.address}' delete",
            lambda: bool(service.call(task, rows).get("Contents")),
        ),
        (
            "unfinished uploads, which rm_uploads and"
            f" 'ziggurat s3 uploads rm --older-than 0 {task.address}' end",
            lambda: any_unfinished(service, task.op, bucket),
        ),
        (
            "older versions, which a lifecycle rule or another tool deletes",
            lambda: _versions(service.call(task, older)),
        ),
    )
    found = []
    for what, there in looks:
        with suppress(TierError):  # the answer to the deletion stands, whatever this one is
            if there():
                found.append(what)
    return (
        "; and ".join(found) or "what the service does not list, or not to this access key: ask who runs it"
    )


def _versions(told: Any) -> bool:
    rows = [*told.get("Versions", ()), *told.get("DeleteMarkers", ())]
    return any(row.get("VersionId") not in (None, "", "null") for row in rows)
