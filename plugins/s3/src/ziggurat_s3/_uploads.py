"""Large blobs: sent in parts, several at a time, and gone on with after whatever broke them off.

obstore sends parts too, but forgets them when it fails; here each part is one request of boto3, so that those
which a service holds already are not sent again.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field

from ziggurat.backend import Blob
from ziggurat.errors import TierError, TierUnavailable
from ziggurat_s3._answers import answer_of
from ziggurat_s3._bucket import Bucket
from ziggurat_s3._checksums import crc32_of, md5_of
from ziggurat_s3._journal import Entry, Journal
from ziggurat_s3._layout import Layout
from ziggurat_s3._options import MIB, S3Options
from ziggurat_s3._parts import pieces_of

__all__ = ["Uploads"]

_MOST_PARTS = 9_000  # S3 takes 10,000
_WORKERS = 8
_SPARE = 2  # parts beside those that are being sent
_MD5 = re.compile(r"[0-9a-f]{32}")
_NO_UPLOAD = ("NoSuchUpload", "NoSuchKey", "NoSuchBucket")


@define(eq=False)
class _Upload:
    """One upload at work."""

    name: str
    id: str
    part_size: int
    checked: bool
    entry: Entry | None
    held: dict[int, tuple[str, int]] = field(factory=dict)  # ETag and bytes of parts that are there already


class Uploads:
    """Multipart uploads into one bucket.

    Args:
        bucket: Where.
        layout: Tells our objects from others.
        options: Sizes, and how many at a time.
        spool: Folder that all processes of the store share, None for none.
        logger: Hears of what could not be cleaned.
    """

    def __init__(
        self, bucket: Bucket, layout: Layout, options: S3Options, spool: Path | None, logger: logging.Logger
    ) -> None:
        self._bucket, self._layout, self._options = bucket, layout, options
        self._spool, self._logger = spool, logger
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._room = threading.BoundedSemaphore(_WORKERS + _SPARE)
        self._checked = options.checksum == "auto"
        self._swept = False

    @property
    def threshold(self) -> int:
        """Bytes from which a blob is sent in parts."""
        return 2 * self._options.part_size

    def put(self, name: str, content: bytes | Blob, size: int, creation: Mapping[str, Any]) -> None:
        """Make or replace an object.

        Args:
            name: Of the object.
            content: What it holds.
            size: Bytes of it.
            creation: What boto3 is told of the new object.

        Raises:
            TierError: It is not there; what was there before is. A failure that may pass leaves the parts for
                the next put of the same object.
            ContentMismatch: The content has fewer or more bytes than it says.
            Exception: What reading the content raised, unchanged.
        """
        if not self._swept:
            self._swept = True
            self._clean_quietly()
        part_size = max(self._options.part_size, -(-size // _MOST_PARTS // MIB) * MIB)
        upload = self._resumed(name, part_size, size) or self._begun(name, part_size, size, creation)
        try:
            parts = self._sent(upload, pieces_of(content, size, part_size))
            self._complete(upload, parts)
        except _SourceFailed as failed:
            self._give_up(upload)
            raise failed.error from failed.error.__cause__
        except TierError as error:
            if error.retryable and upload.entry is not None:
                upload.entry.touch()
                upload.entry.leave()
            else:
                self._give_up(upload)
            raise
        except BaseException:
            if upload.entry is not None:
                upload.entry.leave()
            raise
        if upload.entry is not None:
            upload.entry.done()

    def clean(self, older_than: float) -> list[str]:
        """Give up uploads that nobody on this machine goes on with.

        Args:
            older_than: Seconds since they were begun, or last worked on here. Of another machine's nobody can
                tell whether they are under way, so let this be longer than any upload takes.

        Returns:
            The objects that they would have become.

        Raises:
            TierError: The service could not tell.
        """
        gone = []
        journal = self._journal()
        for entry in journal.dead() if journal is not None else ():
            if entry.age < older_than:
                entry.leave()
                continue
            self._abort(entry.name, entry.upload)
            entry.done()
            gone.append(entry.name)
        now = datetime.now(UTC)
        others = list(self._listed())
        live = journal.live() if journal is not None else set()
        for name, upload, begun in others:
            ours = self._layout.key(name) is not None and upload not in live
            if ours and (now - begun).total_seconds() >= older_than:
                self._abort(name, upload)
                gone.append(name)
        return gone

    def close(self) -> None:
        """End the threads."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    # -- one upload -----------------------------------------------------------------------------

    def _begun(self, name: str, part_size: int, size: int, creation: Mapping[str, Any]) -> _Upload:
        s3 = self._bucket.clients.s3
        checked = self._checked
        with self._bucket.errors:
            try:
                extra: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if checked else {}
                made = s3.create_multipart_upload(Key=name, **creation, **extra)
            except Exception as error:
                answer = answer_of(error)
                if not checked or answer is None or answer.status not in (400, 501):
                    raise
                # Perhaps it does not know checksums: then it is not asked for any again.
                made = s3.create_multipart_upload(Key=name, **creation)
                checked = self._checked = False
        entry = None
        journal = self._journal()
        if journal is not None:
            try:
                entry = journal.begin(name, made["UploadId"], part_size=part_size, size=size)
            except OSError as error:
                self._logger.warning("an upload that breaks cannot be gone on with: %s", error)
        return _Upload(name, made["UploadId"], part_size, checked, entry)

    def _resumed(self, name: str, part_size: int, size: int) -> _Upload | None:
        """An upload of this machine that was broken off, with the parts that the service holds."""
        journal = self._journal()
        entry = journal.take(name) if journal is not None else None
        if entry is None:
            return None
        if (entry.part_size, entry.size) != (part_size, size):
            self._abort(name, entry.upload)
            entry.done()
            return None
        held: dict[int, tuple[str, int]] = {}
        checked = False
        try:
            for page in self._bucket.clients.s3.get_paginator("list_parts").paginate(
                Key=name, UploadId=entry.upload, **self._bucket.extra
            ):
                checked = checked or page.get("ChecksumAlgorithm") == "CRC32"
                for row in page.get("Parts", ()):
                    held[row["PartNumber"]] = (row["ETag"].strip('"'), row["Size"])
                    checked = checked or "ChecksumCRC32" in row
        except Exception as error:
            answer = answer_of(error)
            if answer is not None and answer.code in _NO_UPLOAD:
                entry.done()
                return None
            entry.leave()
            raise self._bucket.errors.tell(error) or error from error
        if not held:  # nothing to gain, and nothing that says whether parts have checksums
            self._abort(name, entry.upload)
            entry.done()
            return None
        return _Upload(name, entry.upload, part_size, checked, entry, held)

    def _sent(self, upload: _Upload, pieces: Generator[bytes, None, None]) -> list[dict[str, Any]]:
        """Send the parts that the service does not hold; gives what completing needs."""
        found: dict[int, dict[str, Any]] = {}
        waiting: deque[Future[dict[str, Any]]] = deque()
        number = 0

        def take() -> None:
            part = waiting.popleft().result()
            found[part["PartNumber"]] = part

        try:
            while True:
                try:
                    data = next(pieces, None)
                except BaseException as error:
                    raise _SourceFailed(error) from error
                if data is None:
                    break
                number += 1
                if (part := _same(upload, number, data)) is not None:
                    found[number] = part
                    continue
                waiting.append(self._submit(upload, number, data))
                del data
                if len(waiting) >= self._options.parallel:
                    take()
            while waiting:
                take()
        finally:
            for future in waiting:
                future.cancel()
            for future in waiting:
                with suppress(CancelledError):
                    future.exception()  # until none is under way any more
            pieces.close()
        return [found[each] for each in sorted(found)]

    def _submit(self, upload: _Upload, number: int, data: bytes) -> Future[dict[str, Any]]:
        self._room.acquire()
        try:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(
                        max(_WORKERS, self._options.parallel), thread_name_prefix="ziggurat-s3"
                    )
                future = self._pool.submit(self._send, upload, number, data)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _send(self, upload: _Upload, number: int, data: bytes) -> dict[str, Any]:
        """Send one part, and make sure that what arrived is what was sent."""
        checksum = crc32_of(data)
        extra: dict[str, Any] = {"ChecksumCRC32": checksum} if upload.checked else {}
        with self._bucket.errors:
            answer: Mapping[str, Any] = self._bucket.clients.uploads.upload_part(
                Key=upload.name,
                UploadId=upload.id,
                PartNumber=number,
                Body=data,
                **self._bucket.extra,
                **extra,
            )
        tag = str(answer["ETag"]).strip('"')
        if self._options.checksum == "auto" and answer.get("ChecksumCRC32") != checksum:
            # It does not say that it looked. Its ETag is the MD5 wherever it does not encrypt with keys.
            encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256"
            if not encrypted and _MD5.fullmatch(tag) and tag != md5_of(data):
                raise TierUnavailable(
                    f"part {number} of {upload.name} arrived damaged: try again", retryable=True
                )
        return {"PartNumber": number, "ETag": tag, **extra}

    def _complete(self, upload: _Upload, parts: list[dict[str, Any]]) -> None:
        with self._bucket.errors:
            self._bucket.clients.s3.complete_multipart_upload(
                Key=upload.name,
                UploadId=upload.id,
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item] # as boto3 takes them
                **self._bucket.extra,
            )

    # -- the end of those that are not completed --------------------------------------------------

    def _give_up(self, upload: _Upload) -> None:
        """Have the service forget an upload; where it cannot be told, the journal keeps it for `clean`."""
        try:
            self._abort(upload.name, upload.id)
        except TierError as error:
            self._logger.warning("parts of %s stay behind: %s", upload.name, error)
            if upload.entry is not None:
                upload.entry.leave()
            return
        if upload.entry is not None:
            upload.entry.done()

    def _abort(self, name: str, upload: str) -> None:
        try:
            self._bucket.clients.s3.abort_multipart_upload(Key=name, UploadId=upload, **self._bucket.extra)
        except Exception as error:
            answer = answer_of(error)
            if answer is None or answer.code not in _NO_UPLOAD:
                raise self._bucket.errors.tell(error) or error from error

    def _clean_quietly(self) -> None:
        try:
            gone = self.clean(self._options.abandoned_after)
        except TierError as error:
            self._logger.debug("abandoned uploads were not looked for: %s", error)
        else:
            for name in gone:
                self._logger.info("gave up an abandoned upload of %s", name)

    def _listed(self) -> Iterator[tuple[str, str, datetime]]:
        """Object, identifier and begin of the uploads that the service knows."""
        found = list(self._pages(self._layout.prefix))
        if not found and self._layout.prefix:
            found = list(self._pages("", most=1))  # MinIO lists by the whole name of an object, or all
        yield from found

    def _pages(self, prefix: str, most: int = 1000) -> Iterator[tuple[str, str, datetime]]:
        pages = self._bucket.clients.s3.get_paginator("list_multipart_uploads").paginate(
            Prefix=prefix, Bucket=self._bucket.name
        )
        try:
            for number, page in enumerate(pages):
                if number >= most:
                    return
                for row in page.get("Uploads", ()):
                    yield row["Key"], row["UploadId"], row["Initiated"]
        except Exception as error:
            answer = answer_of(error)
            if answer is not None and answer.code == "NoSuchUpload":
                return  # a make's word for none
            raise self._bucket.errors.tell(error) or error from error

    def _journal(self) -> Journal | None:
        if self._spool is None:
            return None
        return Journal(self._spool, f"{self._bucket.clients.endpoint} {self._bucket.name}")


class _SourceFailed(Exception):
    """Carries what reading the content raised past our own handlers."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _same(upload: _Upload, number: int, data: bytes) -> dict[str, Any] | None:
    """What completing needs of a part that the service holds already, None for one to send."""
    tag, size = upload.held.get(number, ("", -1))
    if size != len(data) or tag != md5_of(data):
        return None
    return {
        "PartNumber": number,
        "ETag": tag,
        **({"ChecksumCRC32": crc32_of(data)} if upload.checked else {}),
    }
