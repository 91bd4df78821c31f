"""One object as a stream of bytes, continued after a break where it broke, and only of the same version.

Measured on MinIO, versitygw and rclone: one stream of obstore reads a large object 1.1 to 2 times as fast as
boto3's `get_object` and `download_file`; boto3 reads the keys that obstore would change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from ziggurat.errors import TierError, TierUnavailable
from ziggurat_s3.files._integrity import Arriving, Sink, arriving
from ziggurat_s3.files._keys import plain
from ziggurat_s3.files._records import ObjectChanged, ProgressCallback
from ziggurat_s3.files._service import Service, Task, tag

__all__ = ["Fetched", "fetch"]

_CHUNK = 1 << 20


@frozen
class Fetched:
    """What came.

    Attributes:
        size: Bytes.
        e_tag: Without quotes, "" for none.
        last_modified: When it was written, None when the service did not say.
        checked: What it was held against, "" for its length alone.
    """

    size: int
    e_tag: str
    last_modified: datetime | None
    checked: str


@define
class _Open:
    """An answer that is being read."""

    size: int
    e_tag: str
    last_modified: datetime | None
    chunks: Iterator[Any]


def fetch(service: Service, task: Task, sink: Sink, *, progress: ProgressCallback | None = None) -> Fetched:
    """Read a whole object.

    Args:
        service: Where.
        task: Operation, bucket and key.
        sink: Where its bytes go; what it raises passes.
        progress: Told of bytes as they came.

    Raises:
        ObjectDamaged: What came is not what the service knows of it.
        TierError: It could not be read to its end, also after several attempts without any progress.
    """
    reading = _Reading(service, task, sink, progress)
    try:
        while True:
            before = reading.done
            try:
                got = service.call(task, reading.go_on)
            except ObjectChanged:
                sink.restart()
                reading.restart()
            except TierError as error:
                if not error.retryable or reading.done == before:
                    raise
            else:
                return Fetched(got.size, got.e_tag, got.last_modified, reading.settle())
    finally:
        reading.close()


@define
class _Reading:
    """How far an object was read."""

    service: Service
    task: Task
    sink: Sink
    progress: ProgressCallback | None
    done: int = field(default=0, init=False)
    _known: _Open | None = field(default=None, init=False)  # the version
    _arriving: Arriving | None = field(default=None, init=False)

    def go_on(self) -> _Open:
        """Read from where the last attempt ended."""
        known = self._known
        opened = _open(self.service, self.task, self.done, known.e_tag if known else "")
        if known is not None and (opened.size, opened.e_tag) != (known.size, known.e_tag):
            # The service heeded neither the tag nor the range that it was asked for.
            raise ObjectChanged("the object changed in the meantime: try again", retryable=True)
        self._known = opened
        if self._arriving is None:
            self._arriving = arriving(self.service, self.task, self.sink, opened.size, opened.e_tag)
        for chunk in opened.chunks:
            self._arriving.take(chunk)
            self.done += len(chunk)
            if self.progress is not None:
                self.progress(len(chunk))
        if self.done != opened.size:
            raise TierUnavailable(f"{self.done:,} of {opened.size:,} bytes came: try again", retryable=True)
        return opened

    def settle(self) -> str:
        """See that it is what the service knows of it, and say what that was."""
        return self._arriving.settle() if self._arriving is not None else ""

    def restart(self) -> None:
        """Begin anew, with another version."""
        self.close()
        if self.progress is not None:
            self.progress(-self.done)
        self.done, self._known = 0, None

    def close(self) -> None:
        """Take no more of this version."""
        if self._arriving is not None:
            self._arriving.close()
            self._arriving = None


def _open(service: Service, task: Task, start: int, e_tag: str) -> _Open:
    """Ask for an object from a byte on, of one version."""
    if plain(task.key):
        return _through_obstore(service, task, start, e_tag)
    return _through_boto(service, task, start, e_tag)


def _through_obstore(service: Service, task: Task, start: int, e_tag: str) -> _Open:
    import obstore

    options: Any = {}
    if start:
        options["range"] = {"offset": start}
    if e_tag:
        options["if_match"] = f'"{e_tag}"'
    answer = obstore.get(service.store(task.bucket), task.key, options=options)
    meta = answer.meta
    chunks: Any = answer.stream(min_chunk_size=_CHUNK)
    return _Open(meta["size"], tag(meta["e_tag"]), meta["last_modified"], map(memoryview, chunks))


def _through_boto(service: Service, task: Task, start: int, e_tag: str) -> _Open:
    options: Any = dict(service.asking)
    if start:
        options["Range"] = f"bytes={start}-"
    if e_tag:
        options["IfMatch"] = f'"{e_tag}"'
    answer = service.s3.get_object(Bucket=task.bucket, Key=task.key, **options)

    def chunks() -> Iterator[bytes]:
        with contextlib.closing(answer["Body"]) as body:
            yield from body.iter_chunks(_CHUNK)

    return _Open(
        start + answer["ContentLength"], tag(answer.get("ETag")), answer.get("LastModified"), chunks()
    )
