"""`Tier`: one backend behind typed calls, with its guard, its meter and one translation of errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ziggurat.backend import Blob, ByteRange, Capabilities, Dag, Info, Medium, Role, Stat
from ziggurat.config.model import TierConfig
from ziggurat.content import Cid
from ziggurat.errors import (
    BackendFault,
    BlobError,
    ContentMismatch,
    CorruptBlob,
    MalformedContent,
    TierError,
    TierTimeout,
    Unsupported,
    ZigguratError,
)
from ziggurat.plugin.binding import Hooks
from ziggurat.tiers.guard import Guard, within
from ziggurat.tiers.meter import Meter
from ziggurat.tiers.source import Content, Source, SourceFailed

__all__ = ["Content", "Tier"]

T = TypeVar("T")

_WRITING = ("put", "put_many")
"""Operations in which an error may be about the content that was handed over, and not about the tier."""
_MAX_NOTE = 1024
_MAX_SIZE = 1 << 63


class Tier:
    """One configured backend, as the rest of the core calls it.

    Args:
        config: The checked configuration.
        hooks: The backend's hooks, resolved.

    Attributes:
        name, role, capabilities: What the configuration and the backend say.
        remote: A call may cross a network.
        meter: What it did.
        guard: How it is called.
        direct: Nothing stands between a call and the backend's hook.
    """

    def __init__(self, config: TierConfig, hooks: Hooks) -> None:
        self.config, self.hooks = config, hooks
        self.name: str = config.name
        self.role: Role = config.role
        self.capabilities: Capabilities = config.type.capabilities
        self.remote = not self.capabilities.local
        self.meter = Meter()
        self.guard = Guard(config.retry, config.limit, config.timeouts.total, config.breaker)
        self.log = logging.getLogger(f"ziggurat.tier.{config.name}")
        # A local tier without limits is called directly: the guard costs more than a small read.
        self.direct = (
            config.retry.attempts <= 1
            and config.breaker == 0
            and config.timeouts.total is None
            and config.limit.concurrency is None
            and config.limit.rate is None
        )
        self._get = hooks.get

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.config.provider.name}, {self.role})>"

    @property
    def plugin(self) -> object:
        """The backend's own object, for its commands."""
        return self.hooks.plugin

    @property
    def writable(self) -> bool:
        """True if the core may put here: the backend can, and a public one was told to publish."""
        return (
            not self.hooks.read_only
            and self.role != "source"
            and (self.config.publish or not self.capabilities.public)
        )

    # -- the five hooks -------------------------------------------------------------------------

    def get(self, key: str, byte_range: ByteRange | None = None, note: bytes | None = None) -> Content | None:
        """`BackendSpec.get`; the body of what it returns is watched like the call itself."""
        if self.direct:
            try:
                found = self._get(key, byte_range, note)
            except Exception as error:
                raise self.translated("get", key, error) from error
        else:
            found = self._call("get", key, self._get, key, byte_range, note)
        if found is None:
            self.meter.misses += 1
            return None
        self.meter.hits += 1
        if found.__class__ is bytes:
            self.meter.bytes_read += len(found)
            return found
        if isinstance(found, Blob):
            return self._watch_blob(key, found)
        if isinstance(found, Dag):
            return self._watch_dag(key, found)
        raise self._fault(
            "get", key, f"gave a {type(found).__name__}; a get gives bytes, a Blob, a Dag or None"
        )

    def put(self, key: str, content: Content, info: Info | None = None) -> Stat:
        """`BackendSpec.put`; an error of the content's own source passes unchanged and blames no tier."""
        if self.hooks.put is None:
            raise Unsupported("is read-only", tier=self.name, op="put", key=key)
        if content.__class__ is bytes:  # at hand: it cannot fail
            stat = self._call("put", key, self.hooks.put, key, content, info)
        else:
            stat = self._put_watched(key, content, info, self.hooks.put)
        if not isinstance(stat, Stat):
            raise self._fault("put", key, f"gave a {type(stat).__name__}; a put gives a Stat")
        self.check_stat("put", key, stat)
        self.meter.bytes_written += stat.stored if stat.stored is not None else (content_size(content) or 0)
        return stat

    def _put_watched(
        self, key: str, content: Content, info: Info | None, put: Callable[[str, Content, Info | None], Stat]
    ) -> Stat:
        source = Source(content)

        def hook(key: str, content: Content, info: Info | None) -> Stat:
            source.error = None
            try:
                return put(key, content, info)
            except Exception as error:
                if source.error is not None:
                    raise SourceFailed from error
                raise

        try:
            stat = self._call("put", key, hook, key, source.content, info)
        except SourceFailed:
            if source.error is None:  # pragma: no cover - the wrapper is raised only when it is set
                raise
            raise source.error from None
        if source.error is not None:  # the backend took a broken source for a whole one
            raise source.error
        return stat

    def put_all(self, items: Sequence[tuple[str, Content, Info | None]]) -> list[Stat | ZigguratError]:
        """`BackendSpec.put_many`, where the backend has it.

        Returns:
            For each item, in order, what it left, or why it is not kept.

        Raises:
            TierError: Nothing is known of any.
        """
        if self.hooks.put_many is None:
            raise Unsupported("has no put_many", tier=self.name, op="put_many")
        if not items:
            return []
        answers = self._call("put_many", "", self.hooks.put_many, items)
        if not isinstance(answers, Sequence):
            raise self._fault("put_many", "", f"gave a {type(answers).__name__}; it gives a list")
        if len(answers) != len(items):
            raise self._fault("put_many", "", f"gave {len(answers)} answers for {len(items)} items")
        return [self._answer(key, answer) for (key, _, _), answer in zip(items, answers, strict=True)]

    def _answer(self, key: str, answer: object) -> Stat | ZigguratError:
        """One answer of a `put_many`, checked as that of a `put` is."""
        if isinstance(answer, Exception):
            error = self.translated("put_many", key, answer)
            return error if isinstance(error, ZigguratError) else self._fault("put_many", key, str(error))
        if not isinstance(answer, Stat):
            return self._fault(
                "put_many", key, f"gave a {type(answer).__name__}; it gives a Stat or an error"
            )
        try:
            self.check_stat("put_many", key, answer)
        except BackendFault as error:
            return error
        self.meter.bytes_written += answer.stored or 0
        return answer

    def has_key(self, key: str) -> bool:
        """`BackendSpec.has`."""
        answer = self._call("has", key, self.hooks.has, key)
        if answer is not True and answer is not False:
            # What has no truth of its own must not pass for "absent".
            raise self._fault("has", key, f"gave a {type(answer).__name__}; a has gives True or False")
        return answer

    def stat_key(self, key: str) -> Stat | None:
        """`BackendSpec.stat`."""
        answer = self._call("stat", key, self.hooks.stat, key)
        if answer is not None and not isinstance(answer, Stat):
            raise self._fault("stat", key, f"gave a {type(answer).__name__}; a stat gives a Stat or None")
        if answer is not None:
            self.check_stat("stat", key, answer)
        return answer

    def check_stat(self, op: str, key: str, stat: Stat) -> None:
        """Refuse a `Stat` that the catalog could not keep: by then the copy would be there, uncounted.

        Raises:
            BackendFault: A field has the wrong type, or a value that cannot be.
        """
        for what, value in (("size", stat.size), ("stored", stat.stored)):
            if value is not None and not (isinstance(value, int) and 0 <= value < _MAX_SIZE):
                raise self._fault(
                    op, key, f"gave a Stat with {what} = {value!r}; it is a number of bytes or None"
                )
        if stat.info is not None and not isinstance(stat.info, Info):
            raise self._fault(op, key, f"gave a Stat with a {type(stat.info).__name__} as its info")
        if stat.note is not None and not isinstance(stat.note, bytes):
            raise self._fault(op, key, f"gave a note of type {type(stat.note).__name__}; a note is bytes")
        if stat.note is not None and len(stat.note) > _MAX_NOTE:
            raise self._fault(op, key, "gave a note longer than 1 KiB")

    def ask_medium(self, claim: bool) -> Medium | None:
        """`BackendSpec.identify`; the tier's own name where the backend cannot say."""
        if self.hooks.identify is None:
            return Medium(f"tier:{self.name}")
        answer = self._call("identify", "", self.hooks.identify, claim)
        found = Medium(answer) if isinstance(answer, str) else answer
        if found is None:
            return None
        if not isinstance(found, Medium):
            raise self._fault(
                "identify", "", f"gave a {type(found).__name__}; an identify gives a str or a Medium"
            )
        if not (isinstance(found.id, str) and found.id):
            raise self._fault(
                "identify", "", f"gave the identity {found.id!r}; it is a text that is not empty"
            )
        if not (isinstance(found.catalogs, tuple) and all(isinstance(one, str) for one in found.catalogs)):
            raise self._fault("identify", "", "gave catalogs that are not a tuple of texts")
        return found

    def close(self) -> None:
        """`BackendSpec.close`, if there is one; a tier that rests is closed too."""
        if self.hooks.close is not None:
            try:
                self.hooks.close()
            except Exception as error:
                raise self.translated("close", "", error) from error

    # -- calls and errors -----------------------------------------------------------------------

    def _call(self, op: str, key: str, hook: Callable[..., T], *args: object) -> T:
        if self.direct:
            return self._attempt(op, key, hook, *args)
        try:
            answer: T = self.guard.call(self._attempt, op, key, hook, *args)
        except TierError as error:
            self._fill(error, op, key)  # a refusal of the guard itself does not know them
            raise
        return answer

    def _attempt(self, op: str, key: str, hook: Callable[..., T], *args: object) -> T:
        try:
            return hook(*args)
        except Exception as error:
            raise self.translated(op, key, error) from error

    def translated(self, op: str, key: str, error: Exception) -> Exception:
        """What to raise for an exception that came out of the backend."""
        if isinstance(error, SourceFailed):
            return error
        self.meter.errors += 1
        if isinstance(error, TierError):
            self._fill(error, op, key)
            return error
        if isinstance(error, BlobError) and op in _WRITING:
            return error
        if isinstance(error, ContentMismatch | MalformedContent):
            return CorruptBlob(error.message, tier=self.name, op=op, key=key)
        return self._fault(op, key, f"raised {type(error).__name__}: {error}")

    def _fill(self, error: TierError, op: str, key: str) -> None:
        error.tier = error.tier or self.name
        error.op = error.op or op
        error.key = error.key or str(key)

    def _fault(self, op: str, key: str, what: str) -> BackendFault:
        return BackendFault(
            f"{self.config.redact(what)}; a bug in {self.config.provider}: report it there",
            tier=self.name,
            op=op,
            key=key,
        )

    # -- bodies ---------------------------------------------------------------------------------

    def _watch_blob(self, key: str, blob: Blob) -> Blob:
        if not isinstance(blob.size, int) or blob.size < 0:
            self._closer(key, blob)()
            raise self._fault("get", key, f"gave a Blob of the size {blob.size!r}")
        meter, pread, total = self.meter, blob.pread, self.config.timeouts.total
        in_time = _deadline(total)

        def chunks() -> Iterator[bytes | bytearray | memoryview]:
            try:
                following = blob.chunks().__next__
                while True:
                    chunk = in_time(following)
                    if not isinstance(chunk, bytes | bytearray | memoryview):
                        raise self._fault("get", key, f"gave a {type(chunk).__name__} as a chunk of a Blob")
                    if chunk.__class__ is memoryview and chunk.itemsize != 1:
                        chunk = chunk.cast("B")
                    meter.bytes_read += len(chunk)
                    yield chunk
            except StopIteration:
                return
            except Exception as error:
                raise self._body_failed(key, error) from error

        def read_at(view: memoryview, offset: int) -> int:
            try:
                count = pread(view, offset)  # type: ignore[misc]  # handed out only when there is one
                if not isinstance(count, int) or not 0 <= count <= len(view):
                    raise self._fault("get", key, f"filled {count!r} of {len(view)} bytes")
            except Exception as error:
                raise self._body_failed(key, error) from error
            meter.bytes_read += count
            return count

        # A call that is left behind may still write: with a time limit nobody lends it memory.
        placed = read_at if pread is not None and total is None else None
        return Blob(blob.size, chunks, close=self._closer(key, blob), pread=placed)

    def _watch_dag(self, key: str, dag: Dag) -> Dag:
        in_time = _deadline(self.config.timeouts.total)

        def pairs() -> Iterator[tuple[Cid, bytes]]:
            try:
                following = dag.pairs().__next__
                while True:
                    cid, block = in_time(following)
                    if not isinstance(cid, Cid) or not isinstance(block, bytes):
                        raise self._fault("get", key, "gave a pair that is not a Cid and bytes")
                    self.meter.bytes_read += len(block)
                    yield cid, block
            except StopIteration:
                return
            except Exception as error:
                raise self._body_failed(key, error) from error

        return Dag(pairs, close=self._closer(key, dag))

    def _closer(self, key: str, body: Blob | Dag) -> Callable[[], None]:
        """Closes a body; one that fails to has been read all the same, and fails no read."""

        def close() -> None:
            try:
                body.close()
            except Exception as error:  # noqa: BLE001 - it is the backend's, and may be anything
                self.meter.errors += 1
                self.log.warning("what get gave for %s could not be closed: %s", key, error)

        return close

    def _body_failed(self, key: str, error: Exception) -> Exception:
        translated = self.translated("get", key, error)
        if isinstance(translated, TierError) and translated.retryable:
            self.guard.breaker.failed()
        return translated


def _deadline(seconds: float | None) -> Callable[[Callable[[], T]], T]:
    """Calls steps of one body, which all together may take so many seconds from now on."""
    if seconds is None:
        return lambda step: step()
    until = time.monotonic() + seconds

    def in_time(step: Callable[[], T]) -> T:
        left = until - time.monotonic()
        if left <= 0:
            raise TierTimeout(f"did not give all of a body within {seconds:g} s", retryable=True)
        return within(left, step)

    return in_time


def content_size(content: Content) -> int | None:
    """Bytes of a put's content, None when unknown."""
    return len(content) if isinstance(content, bytes) else content.size
