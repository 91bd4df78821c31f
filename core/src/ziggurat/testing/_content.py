"""Blobs to put and to expect: made here, small, and awkward on purpose."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator

from attrs import frozen

from ziggurat.content import DAG_CBOR, DAG_PB, RAW, Blob, Cid, Dag

__all__ = [
    "DagSample",
    "SourceError",
    "blob",
    "bytes_of",
    "car_bytes",
    "dag_samples",
    "directory",
    "failing",
    "file",
    "misstated",
    "noise",
    "raw",
    "slow",
    "values",
]

Pair = tuple[Cid, bytes]


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no two seeds share and that do not compress."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def blob(data: bytes, piece: int = 1000) -> Blob:
    """A `Blob` in pieces of several types that starts afresh at each `chunks`, from any thread."""

    def chunks() -> Iterator[bytes | bytearray | memoryview]:
        shared = bytearray(piece)
        for turn, start in enumerate(range(0, len(data), piece)):
            part = data[start : start + piece]
            if turn % 3 == 0:
                yield part
            elif turn % 3 == 1:
                yield bytearray(part)
            else:
                # A piece is valid until the next one: a backend that keeps views keeps garbage.
                shared[: len(part)] = part
                yield memoryview(shared)[: len(part)]

    return Blob(len(data), chunks)


class SourceError(Exception):
    """What a source of content raises in a check: neither ours nor a medium's."""


def failing(data: bytes, after: int, error: Exception) -> Blob:
    """A `Blob` whose source breaks after so many bytes."""

    def chunks() -> Iterator[bytes]:
        yield data[:after]
        raise error

    return Blob(len(data), chunks)


def misstated(data: bytes, size: int) -> Blob:
    """A `Blob` that says `size` and gives `data`."""
    return Blob(size, lambda: [data[:1], data[1:]] if data else [])


def slow(data: bytes, halfway: threading.Event, go_on: threading.Event) -> Blob:
    """A `Blob` that tells when half of it was read, and waits there."""

    def chunks() -> Iterator[bytes]:
        yield data[: len(data) // 2]
        halfway.set()
        go_on.wait(20)
        yield data[len(data) // 2 :]

    return Blob(len(data), chunks)


def bytes_of(answer: bytes | Blob) -> bytes:
    """All bytes of what a `get` returned, which is closed."""
    if isinstance(answer, bytes):
        return answer
    try:
        return b"".join(bytes(piece) for piece in answer.chunks())
    finally:
        answer.close()


@frozen
class DagSample:
    """A DAG whose every block is known.

    Attributes:
        root: Its root.
        blocks: Every block by CID, depth first from the root, without duplicates.
        size: Plain bytes of the file, or of the files beneath.
        tsize: Bytes of all blocks, a repeated one counted each time.
    """

    root: Cid
    blocks: dict[Cid, bytes]
    size: int
    tsize: int

    def dag(self) -> Dag:
        """What the core would hand to `put`."""
        car = car_bytes(self.root, self.blocks.items())
        pieces = [car[start : start + 777] for start in range(0, len(car), 777)]
        return Dag(lambda: iter(self.blocks.items()), size=len(car), car=lambda: iter(pieces))

    def failing(self, after: int, error: Exception) -> Dag:
        """The same from a source that breaks after so many blocks."""
        whole = self.dag()
        limit = sum(len(_section(*pair)) for pair in list(self.blocks.items())[:after]) + 1

        def pairs() -> Iterator[Pair]:
            yield from list(self.blocks.items())[:after]
            raise error

        def car() -> Iterator[bytes]:
            yield b"".join(whole.car())[:limit]
            raise error

        return Dag(pairs, size=whole.size, car=car)


def raw(data: bytes) -> DagSample:
    """A DAG of one raw block."""
    cid = Cid.of(data, RAW)
    return DagSample(cid, {cid: data}, len(data), len(data))


def file(data: bytes, *, leaf: int = 256, fan: int = 3, wrapped: bool = False) -> DagSample:
    """A UnixFS file of several levels.

    Args:
        data: Its plain bytes.
        leaf: Bytes of a leaf.
        fan: Links of a node.
        wrapped: Leaves are dag-pb nodes, as CIDv0 has them.
    """
    parts = [data[start : start + leaf] for start in range(0, len(data), leaf)] or [b""]
    level = [_leaf(part, wrapped) for part in parts]
    while len(level) > 1 or level[0].root.codec != DAG_PB:
        level = [_node(level[start : start + fan]) for start in range(0, len(level), fan)]
    return level[0]


def directory(**children: DagSample) -> DagSample:
    """A UnixFS directory; equal children share their blocks."""
    links = [(name, child) for name, child in sorted(children.items())]
    block = _pb([(name, child) for name, child in links], _field(1, 1))
    return _above(block, [child for _, child in links])


def values(*children: DagSample) -> DagSample:
    """A dag-cbor list of links; its plain bytes are the block's own."""
    block = bytes([0x80 + len(children)]) + b"".join(_link(child.root) for child in children)
    above = _above(block, list(children), DAG_CBOR)
    return DagSample(above.root, above.blocks, len(block), above.tsize)


def dag_samples() -> dict[str, DagSample]:
    """DAGs of every shape by name; some share blocks with others."""
    shared = file(noise(3000, 1))
    repeated = file(noise(256, 2) * 9)
    tree = directory(a=shared, b=repeated, c=raw(noise(300, 3)))
    return {
        "one wrapped leaf": file(b"small", wrapped=True),
        "an empty file": file(b"", wrapped=True),
        "several levels": shared,
        "wrapped leaves": file(noise(1500, 4), wrapped=True),
        "the same leaf nine times": repeated,
        "an empty directory": directory(),
        "a directory": tree,
        "a directory in a directory": directory(again=shared, tree=tree),
        "data that links to a file and to data": values(shared, values(raw(noise(300, 3))), tree),
    }


def car_bytes(root: Cid, pairs: Iterable[Pair]) -> bytes:
    """A CARv1 with one root, https://ipld.io/specs/transport/car/carv1/."""
    # dag-cbor of {"roots": [CID], "version": 1}
    header = b"\xa2\x65roots\x81" + _link(root) + b"\x67version\x01"
    return _varint(len(header)) + header + b"".join(_section(cid, block) for cid, block in pairs)


def _link(cid: Cid) -> bytes:
    """A CID in dag-cbor: tag 42 on 0x00 and its bytes."""
    return b"\xd8\x2a\x58" + bytes([len(cid.bytes) + 1]) + b"\x00" + cid.bytes


def _section(cid: Cid, block: bytes) -> bytes:
    return _varint(len(cid.bytes) + len(block)) + cid.bytes + block


def _leaf(part: bytes, wrapped: bool) -> DagSample:
    if not wrapped:
        return raw(part)
    block = _field(1, _field(1, 2) + (_field(2, part) if part else b"") + _field(3, len(part)))
    return DagSample(cid := Cid.of(block, DAG_PB), {cid: block}, len(part), len(block))


def _node(children: list[DagSample]) -> DagSample:
    sizes = b"".join(_field(4, child.size) for child in children)
    data = _field(1, 2) + _field(3, sum(child.size for child in children)) + sizes
    return _above(_pb([("", child) for child in children], data), children)


def _above(block: bytes, children: list[DagSample], codec: int = DAG_PB) -> DagSample:
    root = Cid.of(block, codec)
    blocks = {root: block}
    for child in children:
        for cid, body in child.blocks.items():
            blocks.setdefault(cid, body)
    return DagSample(
        root,
        blocks,
        sum(child.size for child in children),
        len(block) + sum(child.tsize for child in children),
    )


def _pb(links: list[tuple[str, DagSample]], data: bytes) -> bytes:
    """A dag-pb node: links first, https://ipld.io/specs/codecs/dag-pb/spec/."""
    out = b""
    for name, child in links:
        out += _field(2, _field(1, child.root.bytes) + _field(2, name.encode()) + _field(3, child.tsize))
    return out + _field(1, data)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
