"""UnixFS: files, directories and symlinks as dag-pb nodes.

Source: https://specs.ipfs.tech/unixfs/. What a node says is checked against itself here; its bytes are proved
by its CID.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from ziggurat.content.dagpb import Link, split_node
from ziggurat.content.varint import decode_varint, encode_varint
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["DIRECTORY_DATA", "HAMT_HASH", "MAX_FANOUT", "Node", "NodeType", "inner_data", "parse_node"]

NodeType = Literal["file", "raw", "directory", "symlink", "hamt", "metadata"]

HAMT_HASH: Final = 0x22
"""Multicodec of murmur3-x64-64, the only hash of HAMT directories."""

MAX_FANOUT: Final = 1024
"""Widest HAMT shard taken (Kubo's limit as well)."""

DIRECTORY_DATA: Final = b"\x08\x01"
"""The Data of a flat directory."""

_TYPES: tuple[NodeType, ...] = ("raw", "directory", "file", "metadata", "symlink", "hamt")
_MAX_SIZE = (1 << 63) - 1


@frozen(eq=False)
class Node:
    """A dag-pb node, with what UnixFS says in it.

    Attributes:
        block: The node as it is stored.
        links: Its links, in their order.
        type: What it is; None for dag-pb without UnixFS in it.
        data: Inline bytes: a leaf's content, a symlink's target, a HAMT shard's bit field.
        block_sizes: Plain bytes beneath each link of a file.
        size: Plain bytes of a file, otherwise 0.
        mode: Permission bits, or None (UnixFS 1.5).
        mtime: Seconds since the epoch, or None (UnixFS 1.5).
        fanout: Places of a HAMT shard, otherwise 0.
    """

    block: bytes
    links: tuple[Link, ...]
    type: NodeType | None = None
    data: bytes = b""
    block_sizes: tuple[int, ...] = ()
    size: int = 0
    mode: int | None = None
    mtime: float | None = None
    fanout: int = 0

    @property
    def is_file(self) -> bool:
        """True for a file, or a part of one."""
        return self.type == "file" or self.type == "raw"

    @property
    def is_directory(self) -> bool:
        """True for a directory, flat or HAMT."""
        return self.type == "directory" or self.type == "hamt"

    @property
    def target(self) -> str:
        """Where a symlink points; bytes that are not UTF-8 read as `os.fsdecode` reads them."""
        if self.type != "symlink":
            raise MalformedContent("only a symlink has a target")
        return self.data.decode("utf-8", "surrogateescape")


class _Fields:
    """The UnixFS message, before it is checked."""

    __slots__ = ("block_sizes", "data", "fanout", "file_size", "hash_type", "mode", "mtime", "type")

    def __init__(self) -> None:
        self.type: int | None = None
        self.data: tuple[int, int] | None = None
        self.file_size: int | None = None
        self.block_sizes: list[int] = []
        self.hash_type: int | None = None
        self.fanout: int | None = None
        self.mode: int | None = None
        self.mtime: float | None = None


_VARINT_FIELDS = {0x08: "type", 0x18: "file_size", 0x28: "hash_type", 0x30: "fanout", 0x38: "mode"}


def _read_fields(block: bytes, at: int, end: int) -> _Fields:
    fields = _Fields()
    sizes = fields.block_sizes
    while at < end:
        tag, at = decode_varint(block, at, end)
        if tag == 0x20:
            size, at = decode_varint(block, at, end)
            sizes.append(size)
            continue
        known = _VARINT_FIELDS.get(tag)
        if known is not None:
            value, at = decode_varint(block, at, end)
            if getattr(fields, known) is not None:
                raise ValueError(f"{known} stands twice")
            setattr(fields, known, value)
            continue
        stop = _field_end(block, tag, at, end)
        if stop > end:
            raise ValueError("a field is cut short")
        if tag & 7 == 2:
            _, at = decode_varint(block, at, end)
        if tag == 0x12:
            if fields.data is not None:
                raise ValueError("data stands twice")
            fields.data = (at, stop)
        elif tag == 0x22:
            while at < stop:
                size, at = decode_varint(block, at, stop)
                sizes.append(size)
        elif tag == 0x42:
            if fields.mtime is not None:
                raise ValueError("mtime stands twice")
            fields.mtime = _read_mtime(block, at, stop)
        elif tag >> 3 <= 8:
            raise ValueError(f"a field of the wrong type (tag 0x{tag:02x})")
        at = stop
    if fields.type is None:
        raise ValueError("no type")
    return fields


def _field_end(block: bytes, tag: int, at: int, end: int) -> int:
    wire = tag & 7
    if wire == 0:
        return decode_varint(block, at, end)[1]
    if wire == 2:
        length, at = decode_varint(block, at, end)
        return at + length
    if wire in (1, 5) and tag >> 3:
        return at + (8 if wire == 1 else 4)
    raise ValueError("not protobuf")


def _read_mtime(block: bytes, at: int, end: int) -> float:
    seconds: int | None = None
    nanos = 0
    while at < end:
        tag, at = decode_varint(block, at, end)
        if tag == 0x08:
            value, at = decode_varint(block, at, end)
            seconds = value - (1 << 64) if value >> 63 else value
        elif tag == 0x15 and at + 4 <= end:
            nanos = int.from_bytes(block[at : at + 4], "little")
            at += 4
        else:
            raise ValueError("an unknown field in mtime")
    if seconds is None or nanos > 999_999_999:
        raise ValueError("an impossible mtime")
    return seconds + nanos / 1e9


def parse_node(block: bytes | bytearray | memoryview) -> Node:
    """Read a dag-pb node and the UnixFS message in it.

    Args:
        block: The block, at most `ziggurat.content.MAX_BLOCK` bytes; whether it is its CID's is not asked.

    Returns:
        The node. Its `type` is None where Data is absent or is not a UnixFS message.

    Raises:
        MalformedContent: Not canonical dag-pb, or UnixFS that contradicts itself.
        UnsupportedContent: An inner file node that carries data, or an unknown type or HAMT hash.
    """
    block = bytes(block)
    links, span = split_node(block)
    if span is None:
        return Node(block, links)
    try:
        fields = _read_fields(block, *span)
    except ValueError:
        return Node(block, links)
    code = fields.type or 0
    if code >= len(_TYPES):
        raise UnsupportedContent(f"UnixFS type {code} is not supported")
    kind = _TYPES[code]
    data = b"" if fields.data is None else block[fields.data[0] : fields.data[1]]
    sizes = tuple(fields.block_sizes)
    size = fanout = 0
    if kind == "file" or kind == "raw":
        size = _file_size(len(links), data, sizes, fields.file_size)
    elif kind == "hamt":
        fanout = _shard_fanout(len(links), data, fields)
    mode = None if fields.mode is None else fields.mode & 0o7777
    return Node(block, links, kind, data, sizes, size, mode, fields.mtime, fanout)


def _file_size(links: int, data: bytes, sizes: tuple[int, ...], stated: int | None) -> int:
    if len(sizes) != links:
        raise MalformedContent(f"a file node has {links} links but {len(sizes)} block sizes")
    if links and data:
        raise UnsupportedContent(
            "a file node with both links and data is not supported (Kubo drops the data)"
        )
    size = len(data) + sum(sizes)
    if size > _MAX_SIZE or (stated is not None and stated != size):
        raise MalformedContent(f"a file node states {stated} bytes but holds {size}")
    return size


def _shard_fanout(links: int, field: bytes, fields: _Fields) -> int:
    fanout = fields.fanout or 0
    if fields.hash_type != HAMT_HASH:
        raise UnsupportedContent(f"HAMT hash {fields.hash_type} is not supported; only murmur3-x64-64 is")
    if fanout < 8 or fanout > MAX_FANOUT or fanout & (fanout - 1):
        raise MalformedContent(f"HAMT fanout {fanout} is not a power of two from 8 to {MAX_FANOUT}")
    if len(field) > fanout // 8 or int.from_bytes(field, "big").bit_count() != links:
        raise MalformedContent(f"the bit field of a HAMT shard does not fit its {links} links")
    return fanout


def inner_data(size: int, encoded_sizes: bytes | bytearray) -> bytes:
    """The Data of an inner file node.

    Args:
        size: Plain bytes beneath it.
        encoded_sizes: Its block sizes in order, each as protobuf field 4.
    """
    return b"\x08\x02\x18" + encode_varint(size) + encoded_sizes
