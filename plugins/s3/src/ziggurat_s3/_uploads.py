"""Large blobs: sent in parts, several at a time, and gone on with after whatever broke them off.

obstore sends parts too, but forgets them when it fails; here each part is one request of boto3, so that those
which a service holds already are not sent again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections import deque
from collections.abc import Generator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from ziggurat.backend import Blob
from ziggurat.errors import TierError, TierUnavailable
from ziggurat_s3._abandoned import clean, drop
from ziggurat_s3._answers import answer_of
from ziggurat_s3._bucket import Bucket
from ziggurat_s3._checksums import OF_PARTS, crc32_of, md5_of
from ziggurat_s3._journal import Entry, Journal
from ziggurat_s3._layout import Layout
from ziggurat_s3._options import MIB, S3Options
from ziggurat_s3._parts import pieces_of

__all__ = ["Uploads"]

_MOST_PARTS = 9_000  # S3 takes 10,000
_WORKERS = 8
_SPARE = 2  # parts beside those that are being sent
_MD5 = re.compile(r"[0-9a-f]{32}")


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
        self._workers = max(_WORKERS, options.parallel)
        self._room = threading.BoundedSemaphore(self._workers + _SPARE)
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
        made = _fingerprint(creation)
        upload = self._resumed(name, part_size, size, made) or self._begun(
            name, part_size, size, creation, made
        )
        try:
            parts = self._sent(upload, pieces_of(content, size, part_size))
            self._complete(upload, parts)
        except _SourceFailed as failed:
            if isinstance(failed.error, Exception) or upload.entry is None:
                self._give_up(upload)
            else:
                upload.entry.leave()  # an interrupt: the next put goes on
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
            older_than: Seconds since they were begun or last worked on. Of another machine's nobody can tell
                whether they are under way, so let this be longer than any part takes.

        Returns:
            The objects that they would have become.

        Raises:
            TierError: The service could not tell.
        """
        return clean(self._bucket, self._layout, self._journal(), older_than)

    def close(self) -> None:
        """End the threads."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    # -- one upload -----------------------------------------------------------------------------

    def _begun(
        self, name: str, part_size: int, size: int, creation: Mapping[str, Any], made_with: str
    ) -> _Upload:
        s3 = self._bucket.clients.s3
        checked = self._checked
        with self._bucket.errors:
            try:
                extra: dict[str, Any] = OF_PARTS if checked else {}
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
                entry = journal.begin(name, made["UploadId"], part_size=part_size, size=size, made=made_with)
            except OSError as error:
                self._logger.warning("an upload that breaks cannot be gone on with: %s", error)
        return _Upload(name, made["UploadId"], part_size, checked, entry)

    def _resumed(self, name: str, part_size: int, size: int, made: str) -> _Upload | None:
        """An upload of this machine that was broken off, with the parts that the service holds.

        What it was begun with (type, metadata, encryption) is what the object will have, so a put that says
        otherwise begins another upload.
        """
        journal = self._journal()
        entry = journal.take(name) if journal is not None else None
        if entry is None:
            return None
        if (entry.part_size, entry.size, entry.made) != (part_size, size, made):
            drop(self._bucket, entry)
            return None
        try:
            parts = self._bucket.multiparts.parts(name, entry.upload)
        except BaseException:
            entry.leave()
            raise
        if parts is None:
            entry.done()
            return None
        if not parts:  # nothing to gain, and nothing that says whether parts have checksums
            drop(self._bucket, entry)
            return None
        checked = any(part.checked for part in parts)
        held = {part.number: (part.tag, part.size) for part in parts}
        return _Upload(name, entry.upload, part_size, checked, entry, held)

    def _sent(self, upload: _Upload, pieces: Generator[bytes, None, None]) -> list[dict[str, Any]]:
        """Send the parts that the service does not hold; gives what completing needs."""
        found: dict[int, dict[str, Any]] = {}
        waiting: deque[Future[dict[str, Any]]] = deque()
        number = 0

        def take() -> None:
            try:
                part = waiting.popleft().result()
            except CancelledError as error:
                raise TierUnavailable(
                    "the tier was closed while it was sending: open the store again"
                ) from error
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
                    self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="ziggurat-s3")
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
        seen = answer.get("ChecksumCRC32")
        if self._options.checksum == "auto" and seen != checksum:
            # Where it does not say that it looked: its ETag is the MD5 unless it encrypts with keys.
            encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256"
            if seen or (not encrypted and _MD5.fullmatch(tag) and tag != md5_of(data)):
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
            if upload.entry is not None:
                drop(self._bucket, upload.entry)
            else:
                self._bucket.multiparts.abort(upload.name, upload.id)
        except TierError as error:
            self._logger.warning("parts of %s stay behind: %s", upload.name, error)

    def _clean_quietly(self) -> None:
        try:
            gone = self.clean(self._options.abandoned_after)
        except TierError as error:
            self._logger.debug("abandoned uploads were not looked for: %s", error)
        else:
            for name in gone:
                self._logger.info("gave up an abandoned upload of %s", name)

    def _journal(self) -> Journal | None:
        if self._spool is None:
            return None
        with self._bucket.errors:
            return Journal(self._spool, f"{self._bucket.clients.endpoint} {self._bucket.name}")


class _SourceFailed(Exception):
    """Carries what reading the content raised past our own handlers."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _fingerprint(creation: Mapping[str, Any]) -> str:
    """One text for one way to make an object."""
    return hashlib.sha256(json.dumps(creation, sort_keys=True).encode()).hexdigest()


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
