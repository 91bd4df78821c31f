"""A backend of the dag form that keeps (CID, block) pairs in memory, and is strict with the core.

It stands for IPFS and Storacha: roots are pinned, blocks are shared, a child of a directory can be read
and is no copy of its own. It pretends to be durable, so that stacks with a dag store can be tested; what it
keeps belongs to its `DagMedium`, which outlives the backend as a disk outlives a process.

A put that breaks a promise of the core raises AssertionError: the closure must be complete, depth first,
without duplicates, every block proved, and the CAR must have exactly the size that was announced.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import cbor2
from attrs import Factory, define, field, frozen

from ziggurat.backend import (
    BackendType,
    Blob,
    Capabilities,
    Cid,
    Context,
    Dag,
    Info,
    Key,
    Medium,
    Stat,
    as_key,
    hookimpl,
)
from ziggurat.content import DAG_CBOR, DAG_JSON, DAG_PB
from ziggurat.errors import TierUnavailable, Unsupported

__all__ = ["DagBackend", "DagMedium", "DagOptions", "backend", "links_of"]


@define(eq=False)
class DagMedium:
    """What is kept, apart from who keeps it.

    Attributes:
        blocks: Every block that a root needs.
        roots: For each root its closure, in the order in which it came, and what was said about it.
        down: Set it, and the medium cannot be reached.
        asked: Every call as (hook, key), in order.
    """

    identity: str = Factory(lambda: f"dag-{uuid.uuid4()}")
    blocks: dict[Cid, bytes] = field(factory=dict)
    roots: dict[Cid, tuple[tuple[Cid, ...], Info | None]] = field(factory=dict)
    needed: Counter[Cid] = field(factory=Counter)
    down: bool = False
    asked: list[tuple[str, str]] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)


@frozen
class DagOptions:
    """Options of the backend.

    Attributes:
        medium: What it keeps its blocks on, a new one by default.
    """

    medium: DagMedium = field(factory=DagMedium)


class DagBackend:
    """Pins by root over shared blocks."""

    def __init__(self, options: DagOptions, context: Context) -> None:
        self.medium = options.medium

    @hookimpl
    def get(self, key: str) -> bytes | Dag | None:
        medium, asked = self._ask("get", key)
        cid = asked.cid
        if asked.kind == "nodes":
            raise Unsupported("a dag tier has no .nodes: ask for the DAG", key=key)
        with medium.lock:
            if cid not in medium.blocks:
                return None
            if asked.kind == "block" or cid.codec != DAG_PB:
                return medium.blocks[cid]
            pairs = [(one, medium.blocks[one]) for one in _depth_first(cid, medium.blocks)]
        return Dag(lambda: iter(pairs))

    @hookimpl
    def put(self, key: str, content: bytes | Blob | Dag, info: Info | None) -> Stat:
        medium, asked = self._ask("put", key)
        assert isinstance(content, Dag), f"a dag tier was given {type(content).__name__}"
        assert asked.kind == "plain", f"a dag tier was given {key}"
        pairs = list(content.pairs())
        _check(asked.cid, content, pairs)
        with medium.lock:
            if asked.cid not in medium.roots:
                medium.blocks.update(pairs)
                medium.needed.update(cid for cid, _ in pairs)
            medium.roots[asked.cid] = tuple(cid for cid, _ in pairs), info
        return Stat(stored=sum(len(block) for _, block in pairs), info=info, note=f"pin {key}".encode())

    @hookimpl
    def has(self, key: str) -> bool:
        medium, asked = self._ask("has", key)
        return asked.cid in medium.roots

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        medium, asked = self._ask("stat", key)
        with medium.lock:
            if asked.cid not in medium.roots:
                return None
            closure, info = medium.roots[asked.cid]
            return Stat(stored=sum(len(medium.blocks[cid]) for cid in closure), info=info)

    @hookimpl
    def evict(self, key: str, note: bytes | None) -> bool:
        medium, asked = self._ask("evict", key)
        assert note in (None, f"pin {asked}".encode()), f"the note of {key} came back as {note!r}"
        with medium.lock:
            if asked.cid not in medium.roots:
                return False
            closure, _ = medium.roots.pop(asked.cid)
            medium.needed.subtract(closure)
            for cid in closure:
                if not medium.needed[cid]:
                    del medium.needed[cid], medium.blocks[cid]
        return True

    @hookimpl
    def scan(self) -> Iterator[str]:
        medium, _ = self._ask("scan", None)
        with medium.lock:
            keys = [str(cid.key) for cid in medium.roots]
        return iter(keys)

    @hookimpl
    def identify(self) -> Medium:
        return Medium(self._ask("identify", None)[0].identity)

    @hookimpl
    def close(self) -> None:
        return None

    def _ask(self, op: str, key: str | None) -> tuple[DagMedium, Key]:
        self.medium.asked.append((op, str(key or "")))
        if self.medium.down:
            raise TierUnavailable("the medium is down", retryable=True)
        return self.medium, as_key(key) if key is not None else Key("")


backend = BackendType(
    factory=DagBackend, options=DagOptions, capabilities=Capabilities(form="dag", local=True, durable=True)
)


def links_of(cid: Cid, block: bytes) -> list[Cid]:
    """The links of a block in order, an identity CID replaced by its own; none of raw and unknown codecs."""
    if cid.codec == DAG_PB:
        links = [dict(_fields(link))[1] for number, link in _fields(block) if number == 2]
        found = [Cid.from_bytes(link) for link in links]
    elif cid.codec == DAG_CBOR:
        tagged: list[bytes] = []
        cbor2.loads(block, tag_hook=lambda tag, _: tagged.append(tag.value))
        found = [Cid.from_bytes(link[1:]) for link in tagged]
    elif cid.codec == DAG_JSON:
        texts: list[str] = []
        json.loads(block, object_hook=lambda table: texts.append(table["/"]) if "/" in table else table)
        found = [Cid.parse(text) for text in texts if isinstance(text, str)]
    else:
        return []
    return [
        far for near in found for far in ([near] if near.identity is None else links_of(near, near.identity))
    ]


def _check(root: Cid, content: Dag, pairs: list[tuple[Cid, bytes]]) -> None:
    blocks = dict(pairs)
    assert len(blocks) == len(pairs), f"{len(pairs) - len(blocks)} pairs of {root} are duplicates"
    for cid, block in pairs:
        assert cid.matches(block), f"a pair of {root} does not prove: {cid}"
        for link in links_of(cid, block):
            assert link in blocks, f"the closure of {root} lacks {link}"
    expected = list(_depth_first(root, blocks))
    assert [cid for cid, _ in pairs] == expected, f"the pairs of {root} are not depth first from the root"
    car = b"".join(content.car())
    assert len(car) == content.size, f"the CAR of {root} has {len(car)} bytes, {content.size} were announced"
    tail = b"".join(_length(len(cid.bytes) + len(block)) + cid.bytes + block for cid, block in pairs)
    assert car.endswith(tail), f"the CAR of {root} does not hold the pairs"
    assert root.bytes in car[: len(car) - len(tail)], f"the CAR of {root} does not name its root"


def _depth_first(root: Cid, blocks: dict[Cid, bytes]) -> Iterator[Cid]:
    """A closure from its root, as far as its blocks are there."""
    seen: set[Cid] = set()
    waiting = [root]
    while waiting:
        cid = waiting.pop()
        if cid not in seen and cid in blocks:
            seen.add(cid)
            yield cid
            waiting.extend(reversed(links_of(cid, blocks[cid])))


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message; varints are passed by."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + value]
            at += value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = message[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _length(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
