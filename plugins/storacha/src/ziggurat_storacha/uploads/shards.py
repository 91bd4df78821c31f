"""Shards: the CARv1 archives that an upload is cut into, and where each block lies in them.

The same DAG cut with the same limit gives the same shards, so an upload that is taken up again finds those
that arrived. Every shard names the upload's root in its header: no two uploads share one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from attrs import frozen

from ziggurat.content import Cid, car_header, read_car
from ziggurat.content.varint import encode_varint
from ziggurat.errors import MalformedContent

__all__ = [
    "CAR",
    "SHA256",
    "SHARD_SIZE",
    "Shard",
    "Slice",
    "cut",
    "digest_of",
    "multihash",
    "shard_cid",
    "shard_digest",
    "shard_of_car",
]

CAR = 0x0202
"""Multicodec of a CAR, in the CID of a shard."""

SHA256 = b"\x12\x20"
"""Head of a sha2-256 multihash: its code and its length."""

SHARD_SIZE = 16 << 20
"""Default bytes of a shard; an upload holds a few in memory."""

Pair = tuple[Cid, bytes]

_MOST = 40_000
"""Blocks of a shard: more would make the index's block of it larger than a block may be."""


@frozen
class Slice:
    """Where a block lies.

    Attributes:
        digest: Multihash of the block.
        offset: Of its first byte in the shard.
        length: Of the block, bytes.
    """

    digest: bytes
    offset: int
    length: int


@frozen
class Shard:
    """One shard, in memory.

    Attributes:
        data: The CAR.
        digest: Its multihash.
        slices: Its blocks, in the order in which they lie.
    """

    data: bytes
    digest: bytes
    slices: tuple[Slice, ...]

    @property
    def cid(self) -> Cid:
        """As an upload lists it."""
        return shard_cid(self.digest)


def digest_of(data: bytes | bytearray | memoryview) -> bytes:
    """The sha2-256 multihash of some bytes."""
    return SHA256 + hashlib.sha256(data).digest()


def shard_cid(digest: bytes) -> Cid:
    """The CID of a CAR of which the multihash is known."""
    return Cid.from_bytes(b"\x01" + encode_varint(CAR) + digest)


def shard_digest(shard: Cid) -> bytes:
    """The multihash of a shard by its CID."""
    return multihash(shard)


def multihash(cid: Cid) -> bytes:
    """The multihash in a CID."""
    return encode_varint(cid.hash_code) + encode_varint(len(cid.digest)) + cid.digest


def cut(root: Cid, pairs: Iterable[Pair], limit: int) -> Iterator[Shard]:
    """Cut the blocks of a DAG into shards; one is in memory at a time.

    Args:
        root: Of the upload.
        pairs: Its blocks, in the order in which they shall lie.
        limit: Bytes of a shard; a block that is larger alone makes a larger one.

    Yields:
        Shards, at least one; the last of a DAG without blocks holds none.
    """
    head = car_header([root])
    pieces, at, slices = [head], len(head), list[Slice]()
    for cid, block in pairs:
        name = cid.bytes
        start = encode_varint(len(name) + len(block)) + name
        full = at + len(start) + len(block) > limit or len(slices) >= _MOST
        if slices and full:
            data = b"".join(pieces)
            pieces.clear()
            yield Shard(data, digest_of(data), tuple(slices))
            del data
            pieces, at, slices = [head], len(head), []
        pieces += (start, block)
        slices.append(Slice(multihash(cid), at + len(start), len(block)))
        at += len(start) + len(block)
    data = b"".join(pieces)
    pieces.clear()
    yield Shard(data, digest_of(data), tuple(slices))


def shard_of_car(data: bytes) -> tuple[tuple[Cid, ...], Shard]:
    """Take a ready CAR as a shard, as it is.

    Every block is proved.

    Args:
        data: A CARv1.

    Returns:
        The roots that its header names, and the shard.

    Raises:
        MalformedContent: No CARv1, or a block that is not its CID's.
    """
    car = read_car([data])
    if car.version != 1:
        raise MalformedContent("a shard is a CAR of version 1; convert it first")
    slices: list[Slice] = []
    at = len(car_header(car.roots))
    for cid, block in car:
        if not cid.matches(block):
            raise MalformedContent(f"a block of the CAR is not its CID's: {cid}", cid=cid)
        at += len(encode_varint(len(cid.bytes) + len(block))) + len(cid.bytes)
        slices.append(Slice(multihash(cid), at, len(block)))
        at += len(block)
    return car.roots, Shard(data, digest_of(data), tuple(slices))
