"""Multipart uploads as a service knows them: which are unfinished, what it holds of them, and their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import frozen

from ziggurat.errors import TierUnavailable
from ziggurat_s3._answers import answer_of

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["Ask", "Held", "HeldPart", "Multiparts", "Unfinished"]

_NO_UPLOAD = ("NoSuchUpload", "NoSuchKey", "NoSuchBucket")

T = TypeVar("T")


class Ask(Protocol):
    """Sends one request about a key, and raises a `TierError` for what the library raises."""

    def __call__(self, key: str, function: Callable[[], T], /) -> T: ...


@frozen
class Unfinished:
    """An upload that was begun and neither completed nor given up.

    Attributes:
        key: What it would become.
        upload: The service's identifier.
        begun: When.
    """

    key: str
    upload: str
    begun: datetime

    @property
    def age(self) -> float:
        """Seconds since it was begun, by the clock of this machine."""
        return _age(self.begun)


@frozen
class HeldPart:
    """A part of an unfinished upload that a service holds.

    Attributes:
        number: From 1.
        tag: ETag, without quotes.
        size: Bytes.
        arrived: When, None where the service does not say.
        checked: The service knows its CRC-32, and wants to be told it at the end.
    """

    number: int
    tag: str
    size: int
    arrived: datetime | None
    checked: bool


@frozen
class Held:
    """What a service holds of an unfinished upload.

    Attributes:
        parts: How many parts have arrived.
        size: Bytes of them.
        last: When the last one arrived, None for none.
        age: Seconds since then, or since the upload was begun, by the clock of this machine; 0 if the service
            does not say of every part when it arrived, because then somebody may be at work.
    """

    parts: int
    size: int
    last: datetime | None
    age: float


class Multiparts:
    """The unfinished uploads of one bucket.

    Args:
        s3: Gives the boto3 client.
        extra: What each request is told: ``Bucket``, and who pays.
        ask: Sends a request.
    """

    def __init__(self, s3: Callable[[], S3Client], extra: Mapping[str, Any], ask: Ask) -> None:
        self._s3, self._extra, self._ask = s3, dict(extra), ask

    def listed(self, prefix: str) -> Iterator[Unfinished]:
        """The uploads to keys with a prefix, as the pages come.

        MinIO takes a prefix for the whole name of an object, so where nothing else came all uploads of the
        bucket are asked for. After it was started again it lists those to a name that is given alone.

        Raises:
            TierError: The service could not tell; what came before is true, and not all.
        """
        seen = set[str]()
        more = not prefix
        for one in self._pages(prefix, seen):
            more = more or one.key != prefix
            yield one
        if not more:
            for one in self._pages("", seen):
                if one.key.startswith(prefix):
                    yield one

    def held(self, one: Unfinished) -> Held | None:
        """What the service holds of an upload, None if it does not know it any more.

        Raises:
            TierError: It could not tell.
        """
        parts = self.parts(one.key, one.upload)
        if parts is None:
            return None
        arrivals = [part.arrived for part in parts if part.arrived is not None]
        last = max(arrivals, default=None)
        age = _age(max(one.begun, last or one.begun)) if len(arrivals) == len(parts) else 0.0
        return Held(len(parts), sum(part.size for part in parts), last, age)

    def parts(self, key: str, upload: str) -> list[HeldPart] | None:
        """The parts that the service holds of an upload, None if it does not know it any more.

        Raises:
            TierError: It could not tell.
        """
        parts: list[HeldPart] = []
        marker = 0
        while True:
            more: dict[str, Any] = {"PartNumberMarker": marker} if marker else {}
            asked = {"Key": key, "UploadId": upload, **more, **self._extra}
            page = self._answer(key, partial(_parts, asked))
            if page is None:
                return None
            checked = page.get("ChecksumAlgorithm") == "CRC32"
            parts += [_part(row, checked) for row in page.get("Parts", ())]
            following = int(page.get("NextPartNumberMarker") or 0)
            if not page.get("IsTruncated") or following <= marker:
                return parts
            marker = following

    def abort(self, key: str, upload: str) -> bool:
        """Have the service forget an upload.

        Returns:
            False if it did not know it. One that it does not know any more when it is asked again was ended
            by the attempt whose answer was lost.

        Raises:
            TierError: It could not be told.
        """
        attempts = 0

        def asked(s3: S3Client) -> object:
            nonlocal attempts
            attempts += 1
            return s3.abort_multipart_upload(Key=key, UploadId=upload, **self._extra)

        return self._answer(key, asked) is not None or attempts > 1

    def _pages(self, prefix: str, seen: set[str]) -> Iterator[Unfinished]:
        """What was not seen before, page by page."""
        asked: dict[str, Any] = {"Prefix": prefix, **self._extra}
        marker: dict[str, Any] = {}
        again: dict[str, Any] | None = None
        while True:
            page = self._answer(
                prefix,
                partial(_page, asked, marker, again),
                none=("NoSuchUpload",),  # a make's word for none
            )
            if page is None:
                return
            for row in page.rows:
                if row.upload not in seen:
                    seen.add(row.upload)
                    yield row
            if page.following is None:
                return
            marker, again = page.following, page.again

    def _answer(
        self, key: str, request: Callable[[S3Client], T], none: tuple[str, ...] = _NO_UPLOAD
    ) -> T | None:
        """The answer, None for a code that means that there is no such upload."""

        def asked() -> T | None:
            try:
                return request(self._s3())
            except Exception as error:
                answer = answer_of(error)
                if answer is None or answer.code not in none:
                    raise
                return None

        return self._ask(key, asked)


@frozen
class _Page:
    """One page of a listing.

    Attributes:
        rows: What is on it.
        following: Where the next one begins, as the service says; None at the end.
        again: Where one begins that has all uploads to its last key once more; None if it has no other key,
            and so would only come again.
    """

    rows: list[Unfinished]
    following: dict[str, Any] | None = None
    again: dict[str, Any] | None = None


def _page(asked: dict[str, Any], marker: dict[str, Any], again: dict[str, Any] | None, s3: S3Client) -> _Page:
    """The page that begins at a marker.

    versitygw 1.8 names an upload where the next page begins, and refuses it there, because it looks for it
    among those to later keys. A marker that is only a key stands before the next key, so the last key but one
    gives all uploads to the last one, and what follows.
    """
    try:
        page: Any = s3.list_multipart_uploads(**asked, **marker)
    except Exception as error:
        answer = answer_of(error)
        if "UploadIdMarker" not in marker or answer is None or answer.code != "InvalidArgument":
            raise
        if again is None:
            raise _lost() from error
        marker = again
        page = s3.list_multipart_uploads(**asked, **marker)
    rows = [Unfinished(row["Key"], row["UploadId"], row["Initiated"]) for row in page.get("Uploads", ())]
    if not page.get("IsTruncated"):
        return _Page(rows)
    names = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
    following = {name: page[told] for name, told in names.items() if page.get(told)}
    if not following or following.items() <= marker.items():
        raise _lost()
    before = next((row.key for row in reversed(rows) if row.key != rows[-1].key), None)
    return _Page(rows, following, None if before is None else {"KeyMarker": before})


def _lost() -> TierUnavailable:
    return TierUnavailable("the listing of uploads says that there is more, and not where: end some first")


def _parts(asked: dict[str, Any], s3: S3Client) -> Any:
    return s3.list_parts(**asked)


def _part(row: Mapping[str, Any], checked: bool) -> HeldPart:
    return HeldPart(
        number=row["PartNumber"],
        tag=str(row.get("ETag") or "").strip('"'),
        size=int(row.get("Size") or 0),
        arrived=row.get("LastModified"),
        checked=checked or "ChecksumCRC32" in row,
    )


def _age(time: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - time).total_seconds())
