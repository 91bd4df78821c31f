"""The index of an upload: which shard holds which block, and where.

Source: the ``index/sharded/dag@0.1`` schema of ``@storacha/blob-index``. It is a CAR whose root is the
DAG-CBOR map ``{"index/sharded/dag@0.1": {content: link, shards: [link…]}}``; each of those links leads to a
block ``[shard digest, [[block digest, [offset, length]]…]]`` sorted by digest, the shard itself among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from ziggurat.content import DAG_CBOR, Cid, dagcbor, read_car, write_car
from ziggurat.errors import MalformedContent
from ziggurat_storacha.uploads.shards import Slice, digest_of

__all__ = ["MAX_INDEX", "Index", "Position", "decode_index", "encode_index"]

MAX_INDEX = 256 << 20
"""Largest index taken, bytes: some five million blocks."""

_VARIANT = "index/sharded/dag@0.1"
_BLOCK = 64 << 20  # an index has one block for each shard, whatever the shard holds


@frozen
class Position:
    """Where a block lies.

    Attributes:
        shard: Multihash of the shard.
        offset: Of its first byte in the shard.
        length: Of the block, bytes.
    """

    shard: bytes
    offset: int
    length: int


@frozen
class Index:
    """An index that was read.

    Attributes:
        content: Root of the upload.
        shards: Multihashes of the shards, in order.
        positions: By multihash of the block.
    """

    content: Cid
    shards: tuple[bytes, ...]
    positions: Mapping[bytes, Position]

    @classmethod
    def made(cls, root: Cid, shards: Iterable[tuple[bytes, int, Sequence[Slice]]]) -> Index:
        """The index of what was just cut; see `encode_index`."""
        listed = list(shards)
        return cls(
            root,
            tuple(digest for digest, _, _ in listed),
            {
                one.digest: Position(digest, one.offset, one.length)
                for digest, _, slices in listed
                for one in slices
            },
        )


def encode_index(root: Cid, shards: Iterable[tuple[bytes, int, Sequence[Slice]]]) -> bytes:
    """Write the index of an upload.

    Args:
        root: Of the upload.
        shards: Multihash, bytes and slices of each shard.

    Returns:
        The CAR.
    """
    blocks: dict[Cid, bytes] = {}
    for digest, size, slices in shards:
        rows = {one.digest: [one.digest, [one.offset, one.length]] for one in slices}
        rows[digest] = [digest, [0, size]]
        # Sorted by the hash alone, without the head of its multihash.
        block = dagcbor.encode([digest, [rows[name] for name in sorted(rows, key=_hash_of)]])
        blocks[Cid.of(block, DAG_CBOR)] = block
    top = dagcbor.encode({_VARIANT: {"content": root, "shards": list(blocks)}})
    name = Cid.of(top, DAG_CBOR)
    return b"".join(write_car([name], [(name, top), *blocks.items()]))


def _hash_of(digest: bytes) -> bytes:
    return digest[2:]


def decode_index(data: bytes, digest: bytes) -> Index:
    """Read an index, and prove it and its blocks.

    Args:
        data: The CAR.
        digest: Its multihash, sha2-256.

    Raises:
        MalformedContent: Other bytes than the digest's, or no index.
    """
    if digest_of(data) != digest:
        raise MalformedContent("an index is not the bytes that its digest names")
    car = read_car([data], max_block=_BLOCK)
    blocks = {}
    for cid, block in car:
        if not cid.matches(block):
            raise MalformedContent(f"a block of an index is not its CID's: {cid}")
        blocks[cid] = block
    try:
        (root,) = car.roots
        body = _table(dagcbor.decode(blocks[root]))[_VARIANT]
        content, links = body["content"], body["shards"]
        if not isinstance(content, Cid):
            raise TypeError("its content is no link")
        positions: dict[bytes, Position] = {}
        shards = tuple(_read_shard(blocks[link], positions) for link in links)
    except MalformedContent:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MalformedContent(f"not an index of an upload: {error}") from None
    return Index(content, shards, positions)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("it is no map")
    return value


# One block names every block of a shard, so it may be larger than a block of a DAG can be, and its shape is
# fixed: it is read here instead of by the codec, which has that limit.

_NUMBER, _BYTES, _LIST = 0, 2, 4


def _read_shard(data: bytes, positions: dict[bytes, Position]) -> bytes:
    """Read the block of one shard into `positions`; gives the shard's multihash."""
    at = _head(data, 0, _LIST, 2)[1]
    shard, at = _octets(data, at)
    count, at = _head(data, at, _LIST)
    for _ in range(count):
        at = _head(data, at, _LIST, 2)[1]
        name, at = _octets(data, at)
        at = _head(data, at, _LIST, 2)[1]
        offset, at = _head(data, at, _NUMBER)
        length, at = _head(data, at, _NUMBER)
        if name != shard:
            positions[name] = Position(shard, offset, length)
    if at != len(data):
        raise ValueError("bytes follow the list of a shard")
    return shard


def _head(data: bytes, at: int, kind: int, wanted: int | None = None) -> tuple[int, int]:
    """The value of one head of CBOR, and the place behind it."""
    first = data[at]
    value, at = first & 31, at + 1
    if value > 23:
        width = 1 << (value - 24)
        if width > 8 or at + width > len(data):
            raise ValueError("a length of a form that it does not have")
        value, at = int.from_bytes(data[at : at + width], "big"), at + width
    if first >> 5 != kind or (wanted is not None and value != wanted):
        raise ValueError("its list of a shard has another shape")
    return value, at


def _octets(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _head(data, at, _BYTES)
    if at + size > len(data):
        raise ValueError("a digest is cut short")
    return data[at : at + size], at + size
