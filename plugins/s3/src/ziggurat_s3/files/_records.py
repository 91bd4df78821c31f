"""What the file operations answer, and the errors that are theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from attrs import Factory, frozen

from ziggurat.errors import BlobNotFound, CorruptBlob, TierError, TierUnavailable, ZigguratError

__all__ = [
    "Action",
    "BucketInfo",
    "DirectoryReport",
    "FileCallback",
    "FileFailure",
    "FileResult",
    "Listed",
    "ObjectChanged",
    "ObjectDamaged",
    "ObjectInfo",
    "ObjectNotFound",
    "ProgressCallback",
    "TransferIncomplete",
    "UnfinishedUpload",
    "UploadCallback",
    "address_of",
]

Action = Literal["uploaded", "downloaded", "copied", "moved", "removed", "made", "skipped"]

ProgressCallback = Callable[[int], object]
"""Called with the bytes transferred since its last call, from any thread, one call at a time.

A number below zero takes back what has to be transferred again.
"""


def address_of(bucket: str, key: str = "") -> str:
    """Write where something is: ``s3://bucket/key``, the key as it is."""
    return f"s3://{bucket}/{key}"


@frozen
class FileResult:
    """What became of one file.

    Attributes:
        action: What was done; "skipped" when what was asked for was there already, and equal.
        bucket: Of the object: where it was put, or read from, or removed.
        key: Of the object.
        size: Bytes.
        e_tag: The service's tag of the content, without quotes; "" when it gave none.
        last_modified: When the service last wrote the object, None when it did not say.
        local_path: The file on this machine, None when there is none.
        source: Address of what was copied or moved, "" for everything else.
        checked: What a download was held against, beside its length: "md5" (the ETag) or a checksum of the
            service such as "crc32"; "" where it knows none that can be computed here.
    """

    action: Action
    bucket: str
    key: str
    size: int
    e_tag: str = ""
    last_modified: datetime | None = None
    local_path: Path | None = None
    source: str = ""
    checked: str = ""

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return address_of(self.bucket, self.key)


FileCallback = Callable[["FileResult | FileFailure"], object]
"""Called with each file of a directory when it is done or has failed, one call at a time."""


@frozen
class FileFailure:
    """One file of a directory that could not be done.

    Attributes:
        bucket: Of the object.
        key: Of the object.
        local_path: The file on this machine, None when there is none.
        error: Why: one of `ziggurat.errors`, or an OSError of this machine.
    """

    bucket: str
    key: str
    local_path: Path | None
    error: ZigguratError | OSError

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return address_of(self.bucket, self.key)


@frozen
class DirectoryReport:
    """What became of every file of a directory.

    Attributes:
        results: What was done or skipped, in the order in which it ended.
        failures: What could not be done; empty when an operation returns its report.
    """

    results: tuple[FileResult, ...] = ()
    failures: tuple[FileFailure, ...] = ()

    def count(self, action: Action) -> int:
        """How many files were done in this way."""
        return sum(1 for one in self.results if one.action == action)

    @property
    def size(self) -> int:
        """Bytes of what was done, what was skipped left out."""
        return sum(one.size for one in self.results if one.action != "skipped")


@frozen
class Listed:
    """One row of a listing.

    Attributes:
        bucket: That was listed.
        key: Of the object; of a directory with its last slash.
        type: "directory" stands for everything under its key, and for a marker that `mk_dir` made.
        size: Bytes, None for what stands for several objects.
        e_tag: The service's tag of the content, without quotes; "" when there is none.
        last_modified: When it was last written, None for what stands for several objects.
        storage_class: As the service names it, "" when it does not.
    """

    bucket: str
    key: str
    type: Literal["file", "directory"]
    size: int | None = None
    e_tag: str = ""
    last_modified: datetime | None = None
    storage_class: str = ""

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return address_of(self.bucket, self.key)


@frozen
class ObjectInfo:
    """What a service knows of one object.

    Attributes:
        bucket: Where it is.
        key: Its key.
        size: Bytes.
        e_tag: The service's tag of the content, without quotes.
        last_modified: When it was last written, None when the service does not say.
        content_type: Media type, None for none.
        metadata: What users said of it, by name in lower case.
        headers: What else travels with the content, under boto3's names: ``CacheControl``,
            ``ContentDisposition``, ``ContentEncoding``, ``ContentLanguage``, ``Expires``,
            ``WebsiteRedirectLocation``.
        storage_class: As the service names it, "" for its default.
        encryption: ``ServerSideEncryption``, "" for none.
        encryption_key: ``SSEKMSKeyId``, "" for none.
        version_id: Of a versioned bucket, "" for none.
    """

    bucket: str
    key: str
    size: int
    e_tag: str = ""
    last_modified: datetime | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = Factory(dict)
    headers: Mapping[str, str] = Factory(dict)
    storage_class: str = ""
    encryption: str = ""
    encryption_key: str = ""
    version_id: str = ""

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return address_of(self.bucket, self.key)


@frozen
class BucketInfo:
    """A bucket of the account.

    Attributes:
        name: Its name.
        created: When, None when the service does not say.
    """

    name: str
    created: datetime | None = None


@frozen
class UnfinishedUpload:
    """A large upload that was begun and neither completed nor given up.

    Attributes:
        bucket: Where.
        key: What it would become.
        upload_id: The service's identifier.
        begun: When.
        age: Seconds since its last part arrived, or since it was begun, when it was looked at; by the clock
            of this machine. 0 if the service does not say when its parts arrived.
        parts: How many parts the service holds.
        size: Bytes of them.
        last_part: When the last one arrived, None for none.
    """

    bucket: str
    key: str
    upload_id: str
    begun: datetime
    age: float
    parts: int = 0
    size: int = 0
    last_part: datetime | None = None

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return address_of(self.bucket, self.key)


UploadCallback = Callable[["UnfinishedUpload"], object]
"""Called with each upload when it was ended."""


class ObjectNotFound(TierError, BlobNotFound):
    """The service answered: the bucket has no such object."""


class ObjectChanged(TierUnavailable):
    """The object was replaced while it was read, copied or moved."""


class ObjectDamaged(CorruptBlob):
    """What came is not what the service knows of the object."""


class TransferIncomplete(TierError):
    """A directory operation ended, and some of its files could not be done.

    Attributes:
        report: Every file, done and failed.
    """

    def __init__(self, message: str = "", *, report: DirectoryReport, op: str = "", key: str = "") -> None:
        retryable = all(isinstance(one.error, TierError) and one.error.retryable for one in report.failures)
        super().__init__(message, op=op, key=key, retryable=retryable)
        self.report = report
