"""Buckets: made, listed, looked for, deleted."""

from __future__ import annotations

from functools import partial
from typing import Any

from ziggurat.errors import TierError, Unsupported
from ziggurat_s3._answers import answer_of
from ziggurat_s3.files._records import BucketInfo
from ziggurat_s3.files._service import Service, Task

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
        answer = answer_of(error.__cause__) if error.__cause__ is not None else None
        if answer is not None and answer.status == 404:
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
        answer = answer_of(error.__cause__) if error.__cause__ is not None else None
        if answer is not None and answer.code == "BucketNotEmpty":
            raise Unsupported(
                f"bucket {bucket!r} is not empty: remove what is in it first, versions and begun uploads too",
                op="delete_bucket",
            ) from error
        raise
