"""What a download is held against: what the service itself knows of the whole content.

That is a checksum of the whole object, or an ETag that is the MD5 of the content
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html). obstore shows no
headers, so a HEAD asks for them: for what is large before it is read, for what is small only where the ETag
does not tell that all is well. What is small goes nowhere before it was compared.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from attrs import frozen

from ziggurat_s3._answers import answer_of
from ziggurat_s3._checksums import CHEAPEST_FIRST, Piece, Running, base64_of, begun, md5_of
from ziggurat_s3.files._equality import is_md5
from ziggurat_s3.files._records import ObjectDamaged
from ziggurat_s3.files._service import Service, Task, tag

__all__ = ["Arriving", "Sink", "arriving"]

_SMALL = 4 << 20  # bytes that are held back until they were compared
_AHEAD = 4  # pieces that wait for their checksum


class Sink(Protocol):
    """Where the bytes of a download go."""

    def write(self, piece: Piece) -> object:
        """Take the next bytes."""

    def restart(self) -> object:
        """Forget what was taken; raises when that cannot be."""


class Arriving(Protocol):
    """The bytes of one version of an object, on their way to a sink."""

    def take(self, piece: Piece) -> None:
        """Take the next bytes."""

    def settle(self) -> str:
        """See that what came is what the service knows of it.

        Returns:
            The name of what it was held against, "" where the service knows nothing of it.

        Raises:
            ObjectDamaged: It is something else.
            TierError: The service could not say what it knows.
        """

    def close(self) -> None:
        """End what is at work; nothing more is taken."""


def arriving(service: Service, task: Task, sink: Sink, size: int, e_tag: str) -> Arriving:
    """Begin to take an object.

    Args:
        service: Where it is; large ones are asked for, in one request that the caller repeats.
        task: Operation, bucket and key.
        sink: Where its bytes go.
        size: Bytes of it.
        e_tag: Of the version that comes.

    Raises:
        Exception: What boto3 raised.
    """
    if not service.compares:
        return _Passing(task, sink, None)
    if size <= _SMALL:
        return _HeldBack(service, task, sink, e_tag)
    return _Passing(task, sink, _asked(service, task, e_tag))


@frozen
class _Known:
    """What a service knows of a whole content.

    Attributes:
        name: Of the checksum, one that can be computed here.
        digest: That it has.
    """

    name: str
    digest: bytes

    def compare(self, task: Task, digest: bytes) -> None:
        """Compare it with what came.

        Raises:
            ObjectDamaged: They differ.
        """
        if digest == self.digest:
            return
        text = bytes.hex if self.name == "md5" else base64_of  # as the service writes it
        why = f"the {self.name} of what came is {text(digest)}, and the service says {text(self.digest)}"
        fix = "download it again; when it stays so, put the object there anew"
        if self.name == "md5":
            fix += ', or say checksum = "none" where ETags are no MD5s'
        raise ObjectDamaged(
            f"{task.address}: {why}: {fix}",
            op=task.op,
            key=task.key,
        )


class _HeldBack:
    """What is small: the sink takes nothing that was not compared."""

    def __init__(self, service: Service, task: Task, sink: Sink, e_tag: str) -> None:
        self._service, self._task, self._sink, self._e_tag = service, task, sink, e_tag
        self._pieces: list[Piece] = []

    def take(self, piece: Piece) -> None:
        self._pieces.append(piece)

    def settle(self) -> str:
        content = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        name = self._compared(content)
        if content:
            self._sink.write(content)
        return name

    def _compared(self, content: Piece) -> str:
        if is_md5(self._e_tag) and md5_of(content) == self._e_tag:
            return "md5"
        ask = partial(_asked, self._service, self._task, self._e_tag)
        known = self._service.call(self._task, ask)
        running = begun(known.name) if known is not None else None
        if known is None or running is None:
            return ""
        running.update(content)
        known.compare(self._task, running.digest())
        return known.name

    def close(self) -> None:
        self._pieces.clear()


class _Passing:
    """What is large: it goes on as it comes, and its checksum is made beside it."""

    def __init__(self, task: Task, sink: Sink, known: _Known | None) -> None:
        self._task, self._sink, self._known = task, sink, known
        running = begun(known.name) if known is not None else None
        self._beside = _Beside(running) if running is not None else None

    def take(self, piece: Piece) -> None:
        if self._beside is not None:
            self._beside.update(piece)
        self._sink.write(piece)

    def settle(self) -> str:
        if self._known is None or self._beside is None:
            return ""
        self._known.compare(self._task, self._beside.digest())
        return self._known.name

    def close(self) -> None:
        if self._beside is not None:
            self._beside.close()


class _Beside:
    """A checksum made in a thread of its own, a few pieces behind."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._behind: deque[Future[object]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="s3-checksum")

    def update(self, piece: Piece) -> None:
        while len(self._behind) >= _AHEAD:
            self._behind.popleft().result()
        self._behind.append(self._pool.submit(self._running.update, piece))

    def digest(self) -> bytes:
        while self._behind:
            self._behind.popleft().result()
        return self._running.digest()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _asked(service: Service, task: Task, e_tag: str) -> _Known | None:
    """What the service knows of a version of an object, None for nothing that can be computed here."""
    more: dict[str, Any] = {"ChecksumMode": "ENABLED"} if service.checksums else {}
    try:
        told = service.headed(task, **more)
    except Exception as error:
        answer = answer_of(error)
        if not more or answer is None or answer.status not in (400, 501):
            raise
        told = service.headed(task)
        service.checksums = False
    if tag(told.get("ETag")) != e_tag:  # another version by now
        return None
    return _checksum(told) or (_Known("md5", bytes.fromhex(e_tag)) if _tag_is_md5(told) else None)


def _checksum(told: Mapping[str, Any]) -> _Known | None:
    """The cheapest checksum of the whole object; one of its parts' own says nothing without the parts."""
    if told.get("ChecksumType") != "FULL_OBJECT":
        return None
    for name in CHEAPEST_FIRST:
        said, running = told.get(f"Checksum{name.upper()}"), begun(name)
        if not said or running is None:
            continue
        try:
            digest = base64.b64decode(said, validate=True)
        except ValueError:
            continue
        if len(digest) == len(running.digest()):
            return _Known(name, digest)
    return None


def _tag_is_md5(told: Mapping[str, Any]) -> bool:
    """Whether an ETag is the MD5 of the content.

    It is not with keys of a key service or of the request's own, nor in a directory bucket, whatever it looks
    like (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
    """
    keyed = str(told.get("ServerSideEncryption")).startswith("aws:kms") or told.get("SSECustomerAlgorithm")
    return is_md5(tag(told.get("ETag"))) and not keyed and told.get("StorageClass") != "EXPRESS_ONEZONE"
