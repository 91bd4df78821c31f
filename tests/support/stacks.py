"""Stacks made by hand: a medium in memory that fails on order and pretends to be durable, and disk tiers.

What a `Shelf` keeps outlives its backend, as a disk outlives a process. Its `script` is called before every
hook and may raise, wait, or change something.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define, field, frozen
from tests.support import dag_backend

from ziggurat.backend import BackendType, Blob, Capabilities, Context, Dag, Info, Key, Medium, Stat, hookimpl
from ziggurat.catalog import Catalog
from ziggurat.config.model import Retry, TierConfig
from ziggurat.engine.store import Store
from ziggurat.errors import TierError, ZigguratError
from ziggurat.plugin.registry import Provider
from ziggurat.tiers import CacheTier, StoreTier, make_tier

__all__ = [
    "ManyShelfBackend",
    "Shelf",
    "ShelfBackend",
    "Spec",
    "dag",
    "disk",
    "memory",
    "open_stack",
    "shelf",
]

Script = Callable[[str, str], object]


def _nothing(op: str, key: str) -> None:
    return None


@define(eq=False)
class Shelf:
    """What is kept, apart from who keeps it.

    Attributes:
        held: Bytes by key.
        infos: What was said, by key.
        catalogs: Who left a marker, the owner first.
        asked: Every call as (hook, key), in order.
        script: Called before every hook.
        most: The most bytes that it ever held, for a tier with a capacity.
    """

    identity: str = Factory(lambda: f"shelf-{uuid.uuid4()}")
    held: dict[str, bytes] = field(factory=dict)
    infos: dict[str, Info | None] = field(factory=dict)
    catalogs: list[str] = field(factory=list)
    asked: list[tuple[str, str]] = field(factory=list)
    script: Script = _nothing
    most: int = 0
    lock: threading.RLock = field(factory=threading.RLock)

    @property
    def used(self) -> int:
        with self.lock:
            return sum(map(len, self.held.values()))

    def ops(self, *names: str) -> list[str]:
        """The hooks that were called, of those named."""
        return [op for op, _ in self.asked if op in names]


@frozen
class ShelfOptions:
    shelf: Shelf = field(factory=Shelf)


class ShelfBackend:
    """Bytes on a shelf."""

    def __init__(self, options: ShelfOptions, context: Context) -> None:
        self.shelf, self.context = options.shelf, context

    @hookimpl
    def get(self, key: str, byte_range: Any) -> bytes | None:
        shelf = self._ask("get", key)
        data = shelf.held.get(key)
        if data is None or byte_range is None:
            return data
        return data[byte_range.offset : byte_range.stop]

    @hookimpl
    def put(self, key: str, content: bytes | Blob | Dag, info: Info | None) -> Stat:
        shelf = self._ask("put", key)
        assert not isinstance(content, Dag)
        data = content if isinstance(content, bytes) else b"".join(bytes(one) for one in content.chunks())
        with shelf.lock:
            shelf.held[str(key)] = data
            shelf.infos[str(key)] = info
            if self.context.capacity is not None:
                shelf.most = max(shelf.most, shelf.used)
        return Stat(size=len(data), stored=len(data), info=info)

    @hookimpl
    def has(self, key: str) -> bool:
        return key in self._ask("has", key).held

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        data = self._ask("stat", key).held.get(key)
        return None if data is None else Stat(size=len(data), stored=len(data))

    @hookimpl
    def evict(self, key: str) -> bool:
        shelf = self._ask("evict", key)
        with shelf.lock:
            return shelf.held.pop(key, None) is not None

    @hookimpl
    def scan(self) -> Iterator[str]:
        return iter(list(self._ask("scan", "").held))

    @hookimpl
    def identify(self, claim: bool) -> Medium:
        shelf = self._ask("claim" if claim else "identify", "")
        if claim and self.context.catalog and self.context.catalog not in shelf.catalogs:
            shelf.catalogs.append(self.context.catalog)
        return Medium(shelf.identity, tuple(shelf.catalogs))

    @hookimpl
    def close(self) -> None:
        self._ask("close", "")

    def _ask(self, op: str, key: str) -> Shelf:
        self.shelf.asked.append((op, str(key)))
        self.shelf.script(op, str(key))
        return self.shelf


class ManyShelfBackend(ShelfBackend):
    """The same with `put_many`."""

    @hookimpl
    def put_many(
        self, items: Sequence[tuple[Key, bytes | Blob | Dag, Info | None]]
    ) -> list[Stat | ZigguratError]:
        self._ask("put_many", str(len(items)))
        answers: list[Stat | ZigguratError] = []
        for key, content, info in items:
            try:
                answers.append(self.put(key, content, info))
            except TierError as error:
                answers.append(error)
        return answers


@frozen
class Spec:
    """A tier that is yet to be made."""

    name: str
    type: BackendType
    options: Any
    role: str
    more: dict[str, Any]

    def config(self) -> TierConfig:
        more = {"retry": Retry(attempts=1), **self.more}  # as the configuration has it for a local tier
        provider = Provider(self.type.factory.__name__.lower(), "tests", "0")
        return TierConfig(self.name, provider, self.type, self.role, self.options, **more)  # type: ignore[arg-type] # a test's own word


def shelf(name: str, medium: Shelf, *, role: str = "store", many: bool = False, **more: Any) -> Spec:
    """A tier on a shelf; capabilities and keys of its table by name."""
    able: dict[str, Any] = {
        key: more.pop(key) for key in ("public", "max_blob", "local", "ranges") if key in more
    }
    able = {"local": True, "durable": True, **able}
    factory = ManyShelfBackend if many else ShelfBackend
    kind = BackendType(factory=factory, options=ShelfOptions, capabilities=Capabilities(**able))
    return Spec(name, kind, ShelfOptions(medium), role, more)


def dag(name: str, medium: dag_backend.DagMedium, **more: Any) -> Spec:
    """A tier of the dag form."""
    return Spec(name, dag_backend.backend, dag_backend.DagOptions(medium), more.pop("role", "store"), more)


def disk(name: str, path: Path, *, role: str = "store", **more: Any) -> Spec:
    """A tier of the disk plugin."""
    from ziggurat_disk import DiskOptions, backend

    return Spec(name, backend, DiskOptions(path=path), role, more)


def memory(name: str, capacity: int) -> Spec:
    """A cache of the memory plugin."""
    from ziggurat_memory import backend

    return Spec(name, backend, backend.options(), "cache", {"capacity": capacity})


def open_stack(path: Path, *specs: Spec, min_copies: int = 1, **more: Any) -> Store:
    """Open a store over tiers, hottest first."""
    catalog = Catalog.open(path)
    tiers: list[CacheTier | StoreTier] = [
        make_tier(spec.config(), catalog=catalog.id, spool=path / "spool") for spec in specs
    ]
    try:
        return Store.from_tiers(tiers, path=path, min_copies=min_copies, catalog=catalog, **more)
    except BaseException:
        catalog.close()
        raise


FAST_RETRY = Retry(attempts=2, max_wait=0.01)
