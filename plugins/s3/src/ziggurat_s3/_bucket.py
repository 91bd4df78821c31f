"""One bucket as the tier uses it: bytes through obstore, everything else through boto3."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from ziggurat.backend import Blob, ByteRange, Timeouts
from ziggurat.errors import TierError, TierUnavailable
from ziggurat_s3._answers import answer_of
from ziggurat_s3._clients import Clients, clients_for
from ziggurat_s3._errors import Remedies, Translated, is_missing
from ziggurat_s3._multiparts import Multiparts
from ziggurat_s3._options import MIB, S3Options
from ziggurat_s3._refused_heads import why_refused

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["Bucket", "Head"]

T = TypeVar("T")

_AT_ONCE = 1 * MIB  # bytes up to which an answer is given whole
_PIECE = 1 * MIB
_SMALL = 64 << 10  # bytes of the largest object of ours


@frozen
class Head:
    """What a HEAD says of an object.

    Attributes:
        size: Bytes.
        content_type: Its media type, "" for none.
        metadata: User metadata, names in lower case.
        lock: Why it may not be deleted, "" if it may.
    """

    size: int
    content_type: str
    metadata: Mapping[str, str]
    lock: str


class Bucket:
    """One bucket of one service; thread-safe, connects when first asked.

    Args:
        options: Which bucket, and how its objects are sent.
        timeouts: Seconds to connect, and for the next byte.
        tier: Name of the tier, for what errors advise.

    Attributes:
        name: Of the bucket.
        clients: Of the service.
        errors: Translates what they raise.
    """

    def __init__(self, options: S3Options, timeouts: Timeouts, tier: str) -> None:
        self.name, self._options = options.bucket, options
        self.clients: Clients = clients_for(options.settings(), timeouts)
        # No method of ours: in a circle the clients would outlive their last user.
        region_of = partial(self.clients.region_of, options.bucket)
        endpoint = options.settings().endpoint_url
        self.errors = Translated(options.bucket, _remedies(tier), endpoint, region_of)
        self.extra: dict[str, Any] = {"Bucket": self.name}
        self._reading: dict[str, Any] = {}
        self._reader: S3Store | None = None
        self._writer: S3Store | None = None
        self._process = 0
        if options.requester_pays:
            self.extra["RequestPayer"] = "requester"
            self._reading["request_payer"] = True
        self._writing = {
            **self._reading,
            **({"server_side_encryption": sse} if (sse := options.server_side_encryption) else {}),
            **({"sse_kms_key_id": key} if (key := options.sse_kms_key_id) else {}),
        }

    # -- bytes ----------------------------------------------------------------------------------

    def _store(self) -> S3Store:
        store = self._reader
        if store is None or self._process != os.getpid():
            store = self._reader = self.clients.store(self.name, config=self._reading)
            self._process = os.getpid()
        return store

    def _target(self) -> S3Store:
        store = self._writer
        if store is None or self._process != os.getpid():
            store = self._writer = self.clients.store(self.name, upload=True, config=self._writing)
            self._process = os.getpid()
        return store

    def read(self, name: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        """An object's bytes, or a range of them; None if there is no such object.

        Raises:
            TierError: The service could not tell.
        """
        import obstore

        try:
            if byte_range is None:
                answer = obstore.get(self._store(), name)
            elif byte_range.length <= _AT_ONCE:
                start, length = byte_range.offset, byte_range.length
                return obstore.get_range(self._store(), name, start=start, length=length).to_bytes()
            else:
                span = (byte_range.offset, byte_range.stop)
                answer = obstore.get(self._store(), name, options={"range": span})
            start, stop = answer.range
            if stop - start <= _AT_ONCE:
                return answer.bytes().to_bytes()
        except Exception as error:
            if is_missing(error):
                return None
            raise self._told(error) from error
        held = [iter(answer.stream(_PIECE))]

        def pieces() -> Iterator[bytes]:
            source = held.pop() if held else iter(())
            while True:
                with self.errors:
                    piece = next(source, None)
                if piece is None:
                    return
                yield piece

        return Blob(stop - start, pieces, close=held.clear)

    def write(
        self,
        name: str,
        data: bytes,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Make or replace an object in one request, whose signature covers the bytes.

        Raises:
            TierError: It is not there; what was there before is.
        """
        import obstore

        attributes = dict(metadata or {})
        if content_type is not None:
            attributes["Content-Type"] = content_type
        if self._options.storage_class:
            attributes["Storage-Class"] = self._options.storage_class
        with self.errors:
            obstore.put(self._target(), name, data, attributes=attributes or None, use_multipart=False)

    def creation(self, content_type: str | None, metadata: Mapping[str, str]) -> dict[str, Any]:
        """What boto3 is told of a new object: the same as `write` tells obstore."""
        made: dict[str, Any] = dict(self.extra)
        if metadata:
            made["Metadata"] = dict(metadata)
        if content_type is not None:
            made["ContentType"] = content_type
        wanted = {
            "StorageClass": self._options.storage_class,
            "ServerSideEncryption": self._options.server_side_encryption,
            "SSEKMSKeyId": self._options.sse_kms_key_id,
        }
        return made | {parameter: value for parameter, value in wanted.items() if value}

    # -- what is there --------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether there is such an object.

        Raises:
            TierError: The service could not tell.
        """
        import obstore

        try:
            found = obstore.head(self._store(), name)
        except Exception as error:  # noqa: BLE001 - what is not explained is raised
            return self._there(name, error)
        self._recognise(found["e_tag"])
        return True

    def head(self, name: str) -> Head | None:
        """Describe an object by one HEAD; None if there is none.

        Raises:
            TierError: The service could not tell.
        """
        try:
            found = self.clients.s3.head_object(Key=name, **self.extra)
        except Exception as error:
            if self._there(name, error):
                raise TierUnavailable(
                    f"{name} came while it was looked for: ask again", retryable=True
                ) from error
            return None
        self._recognise(found.get("ETag"))
        return Head(
            size=found["ContentLength"],
            content_type=found.get("ContentType", ""),
            metadata=found.get("Metadata", {}),
            lock=_lock(found),
        )

    def _there(self, name: str, error: Exception) -> bool:
        """Whether an object is there, of which a HEAD failed."""
        why = why_refused(lambda: self.clients.s3, {"Key": name, **self.extra}, error)
        if why is not None and not is_missing(why):
            raise self._told(why) from why
        return why is None

    def _recognise(self, tag: str | None) -> None:
        """Refuse an answer without an ETag, which every S3 service gives and a web page need not have.

        What is read needs no such look: the core proves it.
        """
        if not tag:
            raise TierUnavailable(
                f"what answers for {self.errors.where} is no S3 service: correct endpoint_url"
            )

    def delete(self, name: str) -> bool:
        """Delete an object; that it was not there is no error.

        Returns:
            True if the bucket keeps versions, and so the bytes.
        """
        with self.errors:
            done = self.clients.s3.delete_object(Key=name, **self.extra)
        return bool(done.get("DeleteMarker"))

    def names(self, prefix: str) -> Iterator[str]:
        """All objects whose names begin with a prefix; ends normally only when that was all."""
        with self.errors:
            pages = iter(
                self.clients.s3.get_paginator("list_objects_v2").paginate(Prefix=prefix, **self.extra)
            )
        while True:
            with self.errors:
                page = next(pages, None)
            if page is None:
                return
            for row in page.get("Contents", ()):
                yield row["Key"]

    # -- small objects of ours ------------------------------------------------------------------

    def read_small(self, name: str) -> bytes | None:
        """A small object through boto3, None if there is none."""
        try:
            found = self.clients.s3.get_object(Key=name, **self.extra)
            with found["Body"] as body:
                data = bytes(body.read(_SMALL))
        except Exception as error:
            if is_missing(error):
                return None
            raise self._told(error) from error
        if len(data) != min(found.get("ContentLength", -1), _SMALL):
            raise TierUnavailable(f"{self.errors.where}: the answer was cut short: try again", retryable=True)
        return data

    def write_new(self, name: str, data: bytes) -> bool:
        """Make a small object unless there is one: true where this call made it, as far as the service tells.

        A service without conditional writes replaces what is there.
        """
        try:
            self.clients.s3.put_object(
                Key=name, Body=data, IfNoneMatch="*", **self.creation("application/json", {})
            )
        except Exception as error:
            answer = answer_of(error)
            if answer is not None and (answer.status == 412 or answer.code == "PreconditionFailed"):
                return False
            raise self._told(error) from error
        return True

    # -- uploads in parts -----------------------------------------------------------------------

    @property
    def multiparts(self) -> Multiparts:
        """The unfinished uploads of the bucket; what fails is told once, because the tier repeats."""

        def ask(_key: str, function: Callable[[], T]) -> T:
            with self.errors:
                return function()

        return Multiparts(lambda: self.clients.s3, self.extra, ask)

    # -- the bucket itself ----------------------------------------------------------------------

    def create(self) -> None:
        """Make the bucket; that we have it already is no error."""
        region = self.clients.region
        where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self.clients.s3.create_bucket(Bucket=self.name, **({} if region == "us-east-1" else where))
        except Exception as error:
            answer = answer_of(error)
            if answer is None or answer.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise self._told(error) from error
            with self.errors:  # some services say so of our own bucket too
                self.clients.s3.head_bucket(Bucket=self.name)

    def missing(self, error: BaseException) -> bool:
        """Whether a failure was that there is no such bucket."""
        answer = answer_of(error.__cause__ if isinstance(error, TierError) else error)
        return answer is not None and answer.code == "NoSuchBucket"

    def _told(self, error: Exception) -> Exception:
        return self.errors.tell(error) or error


def _remedies(tier: str) -> Remedies:
    create = f"'ziggurat s3 bucket create --tier {tier} {{bucket}}'"
    return Remedies(
        no_bucket=f"correct bucket, create it ({create}), or say create_bucket = true",
        damaged='try again; when it stays so, say checksum = "none"',
        unable="see the options of the tier",
    )


def _lock(found: Mapping[str, Any]) -> str:
    if found.get("ObjectLockLegalHoldStatus") == "ON":
        return "a legal hold"
    until = found.get("ObjectLockRetainUntilDate")
    if isinstance(until, datetime.datetime) and until > datetime.datetime.now(datetime.UTC):
        mode = str(found.get("ObjectLockMode") or "a").lower()
        return f"{mode} retention until {until:%Y-%m-%d %H:%M} UTC"
    return ""
