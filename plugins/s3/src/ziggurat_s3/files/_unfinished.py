"""Large uploads that were begun and neither completed nor given up: found, and ended.

Every failure and every interrupt ends an upload of ours; a kill leaves its parts at the service, which shows
them to nobody and may charge for them. Nothing tells such an upload from one that is under way but the time
at which its last part arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from ziggurat_s3._multiparts import Multiparts
from ziggurat_s3.files._keys import directory_prefix
from ziggurat_s3.files._records import UnfinishedUpload, UploadCallback
from ziggurat_s3.files._service import Service, Task

__all__ = ["any_unfinished", "end", "listed"]

T = TypeVar("T")


def listed(service: Service, op: str, bucket: str, where: str) -> Iterator[UnfinishedUpload]:
    """The unfinished uploads to a key, or below a directory.

    Args:
        service: Whom to ask.
        op: The operation that the user asked for.
        bucket: Which.
        where: A key or a directory, "" for the whole bucket.

    Raises:
        TierError: The service could not tell; what was yielded is true, and not all.
    """
    uploads, below = _uploads(service, op, bucket), directory_prefix(where)
    for one in uploads.listed(where):
        if one.key != where and not one.key.startswith(below):
            continue
        held = uploads.held(one)
        if held is None:
            continue  # completed or given up meanwhile
        yield UnfinishedUpload(
            bucket=bucket,
            key=one.key,
            upload_id=one.upload,
            begun=one.begun,
            age=held.age,
            parts=held.parts,
            size=held.size,
            last_part=held.last,
        )


def end(
    service: Service, op: str, bucket: str, where: str, older_than: float, callback: UploadCallback | None
) -> list[UnfinishedUpload]:
    """Have the service forget the unfinished uploads on which nobody worked for long.

    Args:
        service: Whom to ask.
        op: The operation that the user asked for.
        bucket: Which.
        where: A key or a directory, "" for the whole bucket.
        older_than: Seconds since the last part arrived, or since the upload was begun.
        callback: Called with each one that was ended.

    Returns:
        What was ended.

    Raises:
        TierError: The service could not tell, or would not.
    """
    uploads, ended = _uploads(service, op, bucket), []
    for one in listed(service, op, bucket, where):
        if one.age >= older_than and uploads.abort(one.key, one.upload_id):
            ended.append(one)
            if callback is not None:
                callback(one)
    return ended


def any_unfinished(service: Service, op: str, bucket: str) -> bool:
    """Whether there are unfinished uploads in a bucket.

    Raises:
        TierError: The service could not tell.
    """
    return any(True for _ in _uploads(service, op, bucket).listed(""))


def _uploads(service: Service, op: str, bucket: str) -> Multiparts:
    def ask(key: str, function: Callable[[], T]) -> T:
        return service.call(Task(op, bucket, key), function)

    return Multiparts(lambda: service.s3, {"Bucket": bucket, **service.asking}, ask)
