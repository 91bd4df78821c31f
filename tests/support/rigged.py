"""A backend of the bytes form that a test can hold by the hand: look at every call, answer for it, break it.

It pretends to be durable, so that stacks of stores can be tested in memory; what it keeps belongs to its
`Rig`, which outlives the backend as a disk outlives a process.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from attrs import Factory, define, evolve, field, frozen
from tests.support.dag_backend import DagBackend, DagMedium, DagOptions
from tests.support.dag_backend import backend as dag_backend

from ziggurat.backend import (
    BackendType,
    Blob,
    ByteRange,
    Capabilities,
    Context,
    Dag,
    Evicted,
    Medium,
    Stat,
    hookimpl,
)
from ziggurat.config.model import Retry, TierConfig
from ziggurat.errors import TierTimeout, TierUnavailable
from ziggurat.plugin.registry import Provider
from ziggurat.tiers import CacheTier, StoreTier, make_tier

__all__ = ["PASS", "Rig", "RiggedOptions", "cache", "dag", "patient", "rig_type", "source", "store"]

PASS: Any = object()
"""What `Rig.on` returns to let a call take its ordinary course."""

Style = Literal["bytes", "chunks", "pread"]
T = TypeVar("T")


def patient(call: Callable[[], T]) -> T:
    """What a call gives that a slow machine may not finish within its short time limit."""
    while True:
        try:
            return call()
        except TierTimeout:
            continue


@define(eq=False)
class Rig:
    """What is kept, and how calls are interfered with.

    Attributes:
        held: Bytes by key.
        identity: Who the medium is.
        catalogs: Markers on it, the owner's first.
        markers: It keeps the marker of a catalog that claims it.
        asked: Every call as (hook, key, range), in order.
        bytes_given: Bytes of the answers of `get`, as they were taken.
        down: The medium cannot be reached.
        on: Called before each call with (hook, key, range, ordinary answer's maker); may raise, or answer.
        style: How `get` answers.
        piece: Bytes of a chunk.
    """

    held: dict[str, bytes] = field(factory=dict)
    identity: str = Factory(lambda: f"rig-{uuid.uuid4()}")
    catalogs: list[str] = field(factory=list)
    markers: bool = False
    asked: list[tuple[str, str, ByteRange | None]] = field(factory=list)
    bytes_given: int = 0
    down: bool = False
    on: Callable[[str, str, ByteRange | None], Any] | None = None
    style: Style = "bytes"
    piece: int = 700
    lock: threading.Lock = field(factory=threading.Lock)

    def count(self, op: str, suffix: str = "") -> int:
        """How often a hook was called, for keys that end so."""
        return sum(1 for one, key, _ in self.asked if one == op and key.endswith(suffix))

    def reads(self) -> list[tuple[str, ByteRange | None]]:
        """Every `get`, in order."""
        return [(key, byte_range) for op, key, byte_range in self.asked if op == "get"]

    def forget(self) -> None:
        """Start counting again."""
        self.asked.clear()
        self.bytes_given = 0

    def begin(self, op: str, key: str, byte_range: ByteRange | None = None) -> Any:
        self.asked.append((op, key, byte_range))
        if self.down:
            raise TierUnavailable("the medium is down", retryable=True)
        return PASS if self.on is None else self.on(op, key, byte_range)

    def blob(self, data: bytes) -> Blob:
        """Bytes in the form of an answer, counted as they are taken."""

        def chunks() -> Iterator[bytes]:
            for at in range(0, len(data), self.piece):
                self._gave(len(data[at : at + self.piece]))
                yield data[at : at + self.piece]

        def pread(view: memoryview, offset: int) -> int:
            part = data[offset : offset + len(view)]
            view[: len(part)] = part
            self._gave(len(part))
            return len(part)

        return Blob(len(data), chunks, pread=pread if self.style == "pread" else None)

    def _gave(self, count: int) -> None:
        with self.lock:
            self.bytes_given += count

    def answer(self, key: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        """The ordinary answer of a `get`."""
        data = self.held.get(key)
        if data is None:
            return None
        if byte_range is not None:
            data = data[byte_range.offset : byte_range.stop]
        if self.style == "bytes":
            self._gave(len(data))
            return data
        return self.blob(data)

    def flip(self, key: str, at: int = 0) -> None:
        """Change one byte on the medium."""
        data = bytearray(self.held[key])
        data[at] ^= 0x40
        self.held[key] = bytes(data)


@frozen
class RiggedOptions:
    """Options of the backend.

    Attributes:
        rig: Its medium.
    """

    rig: Rig = field(factory=Rig)


class ReadOnlyRigged:
    """The reading half."""

    def __init__(self, options: RiggedOptions, context: Context) -> None:
        self.rig, self.catalog = options.rig, context.catalog

    @hookimpl
    def get(self, key: str, byte_range: ByteRange | None) -> bytes | Blob | None:
        answer = self.rig.begin("get", str(key), byte_range)
        return self.rig.answer(str(key), byte_range) if answer is PASS else answer

    @hookimpl
    def has(self, key: str) -> bool:
        answer = self.rig.begin("has", str(key))
        return str(key) in self.rig.held if answer is PASS else answer

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        answer = self.rig.begin("stat", str(key))
        if answer is not PASS:
            return cast("Stat", answer)
        data = self.rig.held.get(str(key))
        return None if data is None else Stat(size=len(data), stored=len(data))


class Rigged(ReadOnlyRigged):
    """All of it."""

    @hookimpl
    def put(self, key: str, content: bytes | Blob | Dag) -> Stat:
        answer = self.rig.begin("put", str(key))
        if answer is not PASS:
            return cast("Stat", answer)
        assert not isinstance(content, Dag)
        data = content if isinstance(content, bytes) else content.read()
        self.rig.held[str(key)] = data
        return Stat(size=len(data), stored=len(data))

    @hookimpl
    def evict(self, key: str) -> bool | Evicted:
        answer = self.rig.begin("evict", str(key))
        return self.rig.held.pop(str(key), None) is not None if answer is PASS else answer

    @hookimpl
    def scan(self) -> Iterator[str]:
        answer = self.rig.begin("scan", "")
        return iter(list(self.rig.held)) if answer is PASS else answer

    @hookimpl
    def identify(self, claim: bool) -> Medium | None:
        answer = self.rig.begin("identify", "")
        if answer is not PASS:
            return cast("Medium", answer)
        if claim and self.rig.markers and self.catalog not in self.rig.catalogs:
            self.rig.catalogs.append(self.catalog)
        return Medium(self.rig.identity, tuple(self.rig.catalogs))


def rig_type(*, read_only: bool = False, **capabilities: Any) -> BackendType:
    """The description of the backend, with capabilities of choice."""
    settings: dict[str, Any] = {"local": True, "durable": True, **capabilities}
    return BackendType(
        factory=ReadOnlyRigged if read_only else Rigged,
        options=RiggedOptions,
        capabilities=Capabilities(**settings),
        default_cache_capacity=1 << 20,
    )


def _config(name: str, kind: BackendType, role: str, options: Any, given: dict[str, Any]) -> TierConfig:
    settings: dict[str, Any] = {"retry": Retry(attempts=1), **given}
    return TierConfig(name, Provider("rigged", "ziggurat-tests", "1"), kind, role, options, **settings)  # type: ignore[arg-type]  # the role is checked by who reads it


def store(
    name: str,
    rig: Rig | None = None,
    *,
    catalog: str = "",
    role: str = "store",
    kind: BackendType | None = None,
    **given: Any,
) -> StoreTier:
    """A store tier over a rig."""
    made = make_tier(
        _config(name, kind or rig_type(), role, RiggedOptions(rig or Rig()), given),
        catalog=catalog,
        spool=Path(),
    )
    assert isinstance(made, StoreTier)
    return made


def source(name: str, rig: Rig | None = None, **given: Any) -> StoreTier:
    """A read-only tier over a rig."""
    kind = given.pop("kind", None) or rig_type(read_only=True)
    return store(name, rig, role="source", kind=kind, **given)


def cache(
    name: str, rig: Rig | None = None, *, catalog: str = "", capacity: int = 1 << 20, **given: Any
) -> CacheTier:
    """A cache tier of this process over a rig."""
    kind = given.pop("kind", None) or rig_type(volatile=True, durable=False)
    made = make_tier(
        _config(name, kind, "cache", RiggedOptions(rig or Rig()), {"capacity": capacity, **given}),
        catalog=catalog,
        spool=Path(),
    )
    assert isinstance(made, CacheTier)
    return made


def dag(name: str, medium: DagMedium | None = None, *, role: str = "store", **given: Any) -> StoreTier:
    """A store tier of the dag form; give `kind` for other capabilities."""
    kind = given.pop("kind", None) or evolve(dag_backend, factory=DagBackend)
    made = make_tier(
        _config(name, kind, role, DagOptions(medium or DagMedium()), given), catalog="", spool=Path()
    )
    assert isinstance(made, StoreTier)
    return made
