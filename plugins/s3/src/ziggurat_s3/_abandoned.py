"""Uploads that nobody goes on with: found, and given up.

Those of this machine are known by their journal, at once. Those of another are known to the service alone:
when they were begun, and when their last part arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from ziggurat_s3._answers import answer_of
from ziggurat_s3._bucket import Bucket
from ziggurat_s3._journal import Entry, Journal
from ziggurat_s3._layout import Layout

__all__ = ["NO_UPLOAD", "abort", "clean", "drop"]

NO_UPLOAD = ("NoSuchUpload", "NoSuchKey", "NoSuchBucket")
"""Codes of services that know no such upload."""


def abort(bucket: Bucket, name: str, upload: str) -> None:
    """Have the service forget an upload; that it does not know it is no error.

    Raises:
        TierError: It could not be told.
    """
    try:
        bucket.clients.s3.abort_multipart_upload(Key=name, UploadId=upload, **bucket.extra)
    except Exception as error:
        answer = answer_of(error)
        if answer is None or answer.code not in NO_UPLOAD:
            raise bucket.errors.tell(error) or error from error


def drop(bucket: Bucket, entry: Entry) -> None:
    """Give up an upload of this machine; where the service cannot be told, the journal keeps it.

    Raises:
        TierError: It could not be told.
    """
    try:
        abort(bucket, entry.name, entry.upload)
    except BaseException:
        entry.leave()
        raise
    entry.done()


def clean(bucket: Bucket, layout: Layout, journal: Journal | None, older_than: float) -> list[str]:
    """Give up the uploads of our objects that nobody goes on with.

    Args:
        bucket: Where.
        layout: Tells our objects from others.
        journal: The uploads of this machine, None for none.
        older_than: Seconds since they were begun or last worked on.

    Returns:
        The objects that they would have become.

    Raises:
        TierError: The service could not tell.
    """
    gone = []
    for entry in journal.dead() if journal is not None else ():
        if entry.age < older_than:
            entry.leave()
            continue
        drop(bucket, entry)
        gone.append(entry.name)
    others = list(_listed(bucket, layout.prefix))
    live = journal.live() if journal is not None else set()
    for name, upload, begun in others:
        if layout.key(name) is None or upload in live or _age(begun) < older_than:
            continue
        last = _last_part(bucket, name, upload)
        if last is None or _age(last) >= older_than:
            abort(bucket, name, upload)
            gone.append(name)
    return gone


def _age(time: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - time).total_seconds())


def _last_part(bucket: Bucket, name: str, upload: str) -> datetime | None:
    """When the last part of an upload arrived, None if there is none."""
    last: datetime | None = None
    try:
        for page in bucket.clients.s3.get_paginator("list_parts").paginate(
            Key=name, UploadId=upload, **bucket.extra
        ):
            for row in page.get("Parts", ()):
                arrived = row.get("LastModified")
                if arrived is not None and (last is None or arrived > last):
                    last = arrived
    except Exception as error:
        answer = answer_of(error)
        if answer is None or answer.code not in NO_UPLOAD:
            raise bucket.errors.tell(error) or error from error
    return last


def _listed(bucket: Bucket, prefix: str) -> Iterator[tuple[str, str, datetime]]:
    """Object, identifier and begin of the uploads that the service knows."""
    found = list(_pages(bucket, prefix))
    if not found and prefix:
        found = list(_pages(bucket, "", most=1))  # MinIO lists by the whole name of an object, or all
    yield from found


def _pages(bucket: Bucket, prefix: str, most: int = 1000) -> Iterator[tuple[str, str, datetime]]:
    try:
        pages = bucket.clients.s3.get_paginator("list_multipart_uploads")
        for number, page in enumerate(pages.paginate(Prefix=prefix, **bucket.extra)):
            if number >= most:
                return
            for row in page.get("Uploads", ()):
                yield row["Key"], row["UploadId"], row["Initiated"]
    except Exception as error:
        answer = answer_of(error)
        if answer is not None and answer.code == "NoSuchUpload":
            return  # a make's word for none
        raise bucket.errors.tell(error) or error from error
