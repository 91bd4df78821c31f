"""Leaves: the blocks that hold a file's bytes, and the few ways in which dag-pb leaves are written.

A bytes store keeps plain bytes, so a leaf is encoded again from them. Which encoding a foreign leaf has is
found by trying, and proved by its hash.
"""

from __future__ import annotations

from typing import NamedTuple

from ziggurat.content.cid import DAG_PB, Cid
from ziggurat.content.hashes import HASHES_BY_CODE
from ziggurat.content.unixfs import parse_node
from ziggurat.content.varint import encode_varint
from ziggurat.errors import MalformedContent

__all__ = ["leaf_block", "leaf_envelope", "leaf_payload", "proves_leaf"]

Buffer = bytes | bytearray | memoryview


class _Encoding(NamedTuple):
    """How a writer encodes a leaf: UnixFS type, and which fields it writes."""

    type: int
    file_size: bool
    empty_data: bool


# Most frequent first: Kubo's files, Kubo's raw type (trickle and old importers), then writers that leave the
# size out or write an empty Data field.
_ENCODINGS = tuple(
    _Encoding(type_, file_size, empty_data)
    for file_size, empty_data in ((True, False), (True, True), (False, False), (False, True))
    for type_ in (2, 0)
)
_hint = 0  # the last encoding that proved a leaf: the leaves of a file are alike


def leaf_envelope(size: int, encoding: int = 0) -> tuple[bytes, bytes]:
    """What stands before and after the plain bytes in a dag-pb leaf.

    Args:
        size: Plain bytes of the leaf.
        encoding: Which encoding; 0 is Kubo's.
    """
    type_, file_size, empty_data = _ENCODINGS[encoding]
    head = bytes((0x08, type_))
    if size or empty_data:
        head += b"\x12" + encode_varint(size)
    tail = b"\x18" + encode_varint(size) if file_size else b""
    return b"\x0a" + encode_varint(len(head) + size + len(tail)) + head, tail


def _find(cid: Cid, payload: Buffer) -> tuple[bytes, bytes] | None:
    global _hint
    size = len(payload)
    first = _hint
    tried = set()
    for encoding in (first, *range(len(_ENCODINGS))):
        # With bytes in it, a leaf has its Data field anyway: half of the encodings are the same.
        head, tail = envelope = leaf_envelope(size, encoding)
        if envelope in tried:
            continue
        tried.add(envelope)
        if cid.identity is not None:
            proved = cid.identity == b"".join((head, payload, tail))
        else:
            hasher = HASHES_BY_CODE[cid.hash_code].new(head)
            hasher.update(payload)
            hasher.update(tail)
            proved = hasher.digest() == cid.digest
        if proved:
            _hint = encoding
            return envelope
    return None


def leaf_payload(cid: Cid, block: Buffer) -> bytes:
    """The plain bytes of a leaf's block.

    Args:
        cid: Its CID.
        block: Its block, which is not proved here.

    Raises:
        MalformedContent: A dag-pb block that is not a file without links.
        UnsupportedContent: As by `parse_node`.
    """
    if cid.codec != DAG_PB:
        return bytes(block)
    node = parse_node(block)
    if not node.is_file or node.links:
        raise MalformedContent("a dag-pb block is not a leaf of a file", cid=cid)
    return node.data


def leaf_block(cid: Cid, payload: Buffer) -> bytes | None:
    """Encode a leaf's block again from its plain bytes.

    Args:
        cid: The CID that it must have.
        payload: Its plain bytes.

    Returns:
        The block, proved; or None when no known encoding of these bytes has that CID.
    """
    if cid.codec != DAG_PB:
        return bytes(payload) if cid.matches(payload) else None
    envelope = _find(cid, payload)
    return None if envelope is None else b"".join((envelope[0], payload, envelope[1]))


def proves_leaf(cid: Cid, payload: Buffer) -> bool:
    """Prove a leaf by its plain bytes, without building its block."""
    if cid.codec != DAG_PB:
        return cid.matches(payload)
    return _find(cid, payload) is not None
