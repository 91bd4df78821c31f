"""One call to the service: who asks, what a failure is called, and how often it is tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from ziggurat.backend import Timeouts
from ziggurat.errors import TierError
from ziggurat_s3._answers import Answer, answer_of
from ziggurat_s3._clients import Clients, clients_for
from ziggurat_s3._connection import ConnectionOptions
from ziggurat_s3._errors import Remedies, Translated
from ziggurat_s3._options import Checksum, S3Options
from ziggurat_s3._refused_heads import why_refused
from ziggurat_s3.files._records import ObjectChanged, ObjectInfo, ObjectNotFound, address_of

if TYPE_CHECKING:
    from obstore.store import S3Store
    from types_boto3_s3.client import S3Client

__all__ = ["Service", "Task", "tag"]

T = TypeVar("T")

PARTS_AT_ONCE = 8
"""Parts of large objects that one `Service` holds in memory, whatever runs at the same time."""

_REMEDIES = Remedies(
    no_bucket="correct its name, or create it ('ziggurat s3 bucket create {bucket}', create_bucket)",
    damaged="try again; when it stays so, something on the way alters what is sent",
    unable="do without it, or use another service",
)
_NO_OBJECT = {"NoSuchKey", "NoSuchVersion"}
_ABSENT = {"", "NotFound", *_NO_OBJECT}  # codes of a 404 that may be about an object
_NOTHING = "there is no such object: list what is there"
_TRAVELS = (
    *("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage"),
    "WebsiteRedirectLocation",
)


def tag(given: object) -> str:
    """An ETag without its quotes, "" for none."""
    return str(given or "").strip('"')


def _headers(told: Mapping[str, Any]) -> dict[str, str]:
    made = {name: str(told[name]) for name in _TRAVELS if told.get(name)}
    if told.get("Expires"):  # a time that boto3 could read
        made["Expires"] = str(told["ExpiresString"])
    return made


@frozen
class Task:
    """What a call is about, for its errors.

    Attributes:
        op: The operation that the user asked for.
        bucket: That it is about.
        key: That it is about, "" for the bucket itself.
    """

    op: str
    bucket: str
    key: str = ""

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return address_of(self.bucket, self.key)


class Service:
    """A service as the file operations call it; thread-safe, and without a connection before the first call.

    Args:
        options: Where it is and who asks.
        timeouts: Seconds to connect, and for the next byte.
        attempts: Calls in all for one request that fails retryably.
        max_wait: Longest pause between two of them, in seconds.
        checksum: "none" asks for no checksums, and compares nothing.

    Attributes:
        asking: What boto3 is told with every request about objects.
        making: What it is told of new objects, beside that.
        parts: Held while a part of a large object is in memory.
        compares: What was sent, and what came, is compared with what the service says of it.
        checksums: The service is asked for checksums; it has not yet refused to know any.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        timeouts: Timeouts,
        *,
        attempts: int,
        max_wait: float,
        checksum: Checksum = "auto",
    ) -> None:
        self._settings, self._timeouts = options.settings(), timeouts
        self._endpoint = self._settings.endpoint_url  # named in messages
        self._attempts, self._max_wait = attempts, max_wait
        self.compares = checksum == "auto"
        self.asking: dict[str, Any] = {}
        self.making: dict[str, Any] = {}
        self._reads: dict[str, Any] = {}
        self._writes: dict[str, Any] = {}
        if isinstance(options, S3Options):
            self._heed(options)
        self.checksums = self.compares
        self.parts = threading.BoundedSemaphore(PARTS_AT_ONCE)

    @cached_property
    def clients(self) -> Clients:
        """Session and clients, shared by everybody with the same options."""
        return clients_for(self._settings, self._timeouts)

    @property
    def s3(self) -> S3Client:
        """The boto3 client."""
        return self.clients.s3

    def _heed(self, options: S3Options) -> None:
        """What the options of a tier say of its requests and of objects holds here too."""
        self.compares = self.compares and options.checksum == "auto"
        if options.requester_pays:
            self.asking["RequestPayer"] = "requester"
            self._reads["request_payer"] = True
        wanted = {
            ("StorageClass", ""): options.storage_class,
            ("ServerSideEncryption", "server_side_encryption"): options.server_side_encryption,
            ("SSEKMSKeyId", "sse_kms_key_id"): options.sse_kms_key_id,
        }
        for (boto, obstore), value in wanted.items():
            if value:
                self.making[boto] = value
                if obstore:
                    self._writes[obstore] = value

    def store(self, bucket: str, *, upload: bool = False) -> S3Store:
        """The obstore store of a bucket; the storage class of an upload is its own affair."""
        config = {**self._reads, **(self._writes if upload else {})}
        return self.clients.store(bucket, upload=upload, config=config)

    def call(self, task: Task, function: Callable[[], T]) -> T:
        """Call the service, again after a failure that may pass.

        Args:
            task: What for.
            function: One request; it must bear being called again.

        Raises:
            TierError: It could not be done; the error has operation, key and address.
        """

        def once() -> T:
            with self.told(task):
                return function()

        return self._repeated(once)

    @cached_property
    def _repeated(self) -> Callable[[Callable[[], T]], T]:
        """Calls something until it is done, or fails for good."""
        import stamina

        # It logs each retry; without a handler anywhere Python would print that on stderr.
        logging.getLogger("stamina").addHandler(logging.NullHandler())
        return stamina.RetryingCaller(attempts=self._attempts, timeout=None, wait_max=self._max_wait).on(
            self._worth_retrying
        )

    def _worth_retrying(self, error: Exception) -> bool | float:
        if not isinstance(error, TierError) or not error.retryable or isinstance(error, ObjectChanged):
            return False  # the same request about an object that changed fails again
        after = error.retry_after
        return min(after, self._max_wait) if isinstance(after, int | float) else True

    def errors(self, bucket: str) -> Translated:
        """What turns the failures of the libraries into errors about a bucket, "" for the account."""
        region_of = partial(self.clients.region_of, bucket) if bucket else None
        return Translated(bucket, _REMEDIES, self._endpoint, region_of)

    @contextmanager
    def told(self, task: Task) -> Iterator[None]:
        """Turn what the libraries raise into errors of ours that say what they are about."""
        try:
            with self.errors(task.bucket):
                try:
                    yield
                except Exception as error:
                    answer = answer_of(error)
                    if answer is None:
                        raise
                    self._absent(task, answer, error)
                    if answer.status == 412 or type(error).__name__ == "PreconditionError":
                        raise ObjectChanged(
                            "the object changed in the meantime: try again", retryable=True
                        ) from error
                    raise
        except TierError as error:
            if not error.op:
                error.op, error.key = task.op, task.key
                error.message = f"{task.address}: {error.message}"
                error.args = (error.message,)
            raise

    def _absent(self, task: Task, answer: Answer, error: Exception) -> None:
        """Raise for a 404 that is about an object; one without a code can mean the bucket too.

        Raises:
            ObjectNotFound: The bucket is there, the object is not.
            TierError: There is no such bucket, or that could not be told.
        """
        missing = answer.status == 404 or isinstance(error, FileNotFoundError)
        if not missing or not task.key or answer.code not in _ABSENT:
            return
        if answer.code in _NO_OBJECT:
            raise ObjectNotFound(_NOTHING) from error
        try:
            with self.errors(task.bucket):
                self.s3.head_bucket(Bucket=task.bucket)
        except TierError as told:
            cause = answer_of(told.__cause__)
            if cause is not None and cause.status == 404:
                raise self.errors(task.bucket).refusal(Answer(404, "NoSuchBucket")) from error
            if cause is None or cause.status != 403:  # a service says 403 of what is there
                raise
        raise ObjectNotFound(_NOTHING) from error

    def head(self, task: Task) -> ObjectInfo | None:
        """What is known of an object, None when there is none.

        Raises:
            TierError: There is no such bucket, or the service could not tell.
        """
        try:
            told: Any = self.call(task, partial(self.headed, task))
        except ObjectNotFound:
            return None
        return ObjectInfo(
            bucket=task.bucket,
            key=task.key,
            size=int(told.get("ContentLength") or 0),
            e_tag=tag(told.get("ETag")),
            last_modified=told.get("LastModified"),
            content_type=told.get("ContentType"),
            metadata={name.lower(): value for name, value in (told.get("Metadata") or {}).items()},
            headers=_headers(told),
            storage_class=told.get("StorageClass") or "",
            encryption=told.get("ServerSideEncryption") or "",
            encryption_key=told.get("SSEKMSKeyId") or "",
            version_id=told.get("VersionId") or "",
        )

    def headed(self, task: Task, **more: Any) -> Any:
        """boto3's answer to one HEAD.

        Args:
            task: Operation, bucket and key.
            more: What boto3 is told besides.

        Raises:
            Exception: What boto3 raised.
        """
        asked: dict[str, Any] = {"Bucket": task.bucket, "Key": task.key, **self.asking}
        try:
            return self.s3.head_object(**asked, **more)
        except Exception as error:
            why = why_refused(lambda: self.s3, asked, error)
            if why is None or why is error:
                raise
            raise why from error

    def found(self, task: Task) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectNotFound: There is none.
            TierError: There is no such bucket, or the service could not tell.
        """
        info = self.head(task)
        if info is None:
            raise ObjectNotFound(f"{task.address}: {_NOTHING}", op=task.op, key=task.key)
        return info
