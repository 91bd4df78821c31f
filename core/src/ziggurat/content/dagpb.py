"""dag-pb: the nodes that link blocks into files and directories.

Source: https://ipld.io/specs/codecs/dag-pb/spec/. Only the canonical form is accepted: links before data, the
fields of a link in order, shortest varints, nothing unknown and nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ziggurat.content.cid import MAX_BLOCK, Cid
from ziggurat.content.varint import decode_varint, encode_varint
from ziggurat.errors import InvalidCid, MalformedContent

__all__ = ["MAX_LINKS", "Link", "decode_node", "encode_link", "encode_node", "split_node"]

MAX_LINKS: Final = 65536
"""Most links of one node: above what fits in `MAX_BLOCK` with 32-byte digests, below what exhausts memory."""


class Link(NamedTuple):
    """A link of a node.

    Attributes:
        cid: Where it points.
        name: Entry name in a directory, empty in a file. A link without a name reads as an empty one.
        tsize: Bytes of all blocks beneath it, as its writer counted them: not proved. 0 when absent.
    """

    cid: Cid
    name: bytes
    tsize: int


def encode_link(cid: bytes, name: bytes, tsize: int) -> bytes:
    """Encode one link with all its fields, as Kubo does, tag and length included.

    Args:
        cid: The binary CID.
        name: Entry name, empty in a file.
        tsize: Bytes of all blocks beneath it.
    """
    body = b"".join(
        (
            b"\x0a",
            encode_varint(len(cid)),
            cid,
            b"\x12",
            encode_varint(len(name)),
            name,
            b"\x18",
            encode_varint(tsize),
        )
    )
    return b"\x12" + encode_varint(len(body)) + body


def encode_node(links: Iterable[Link], data: bytes | None) -> bytes:
    """Encode a node.

    Args:
        links: In the order in which they shall stand.
        data: The Data field, None to leave it out.

    Returns:
        The block.

    Raises:
        MalformedContent: The block would exceed `MAX_BLOCK`.
    """
    parts = [encode_link(link.cid.bytes, link.name, link.tsize) for link in links]
    if data is not None:
        parts += (b"\x0a", encode_varint(len(data)), data)
    block = b"".join(parts)
    if len(block) > MAX_BLOCK:
        raise MalformedContent(f"a node of {len(block)} bytes is above the limit of {MAX_BLOCK} for a block")
    return block


def decode_node(block: bytes | bytearray | memoryview) -> tuple[tuple[Link, ...], bytes | None]:
    """Decode a node.

    Returns:
        Its links, and its Data field or None.

    Raises:
        MalformedContent: Not canonical dag-pb, or above a limit.
    """
    links, span = split_node(bytes(block))
    return links, None if span is None else bytes(block[span[0] : span[1]])


def split_node(block: bytes) -> tuple[tuple[Link, ...], tuple[int, int] | None]:
    """Decode a node without copying its Data: the links, and where Data begins and ends.

    Raises:
        MalformedContent: Not canonical dag-pb, or above a limit.
    """
    size = len(block)
    if size > MAX_BLOCK:
        raise MalformedContent(f"a node of {size} bytes is above the limit of {MAX_BLOCK} for a block")
    links: list[Link] = []
    span: tuple[int, int] | None = None
    at = 0
    try:
        while at < size:
            tag = block[at]
            length, at = decode_varint(block, at + 1)
            end = at + length
            if end > size:
                raise ValueError("a field is cut short")
            if span is not None:
                raise ValueError("a field follows the data")
            if tag == 0x12:
                links.append(_decode_link(block, at, end))
                if len(links) > MAX_LINKS:
                    raise ValueError(f"more than {MAX_LINKS} links")
            elif tag == 0x0A:
                span = (at, end)
            else:
                raise ValueError(f"an unknown field (tag 0x{tag:02x})")
            at = end
    except InvalidCid as error:
        raise MalformedContent(f"link {len(links)} of a dag-pb node: {error.message}") from error
    except ValueError as error:
        raise MalformedContent(f"not a dag-pb node: {error}") from None
    return tuple(links), span


def _decode_link(block: bytes, at: int, end: int) -> Link:
    if at >= end or block[at] != 0x0A:
        raise ValueError("a link without a CID")
    length, at = decode_varint(block, at + 1, end)
    stop = at + length
    if stop > end:
        raise ValueError("a link is cut short")
    cid = Cid.from_bytes(block[at:stop])
    at, name, tsize = stop, b"", 0
    if at < end and block[at] == 0x12:
        length, at = decode_varint(block, at + 1, end)
        stop = at + length
        if stop > end:
            raise ValueError("a link is cut short")
        name, at = block[at:stop], stop
    if at < end and block[at] == 0x18:
        tsize, at = decode_varint(block, at + 1, end)
    if at != end:
        raise ValueError("a link with an unknown, repeated or misplaced field")
    return Link(cid, name, tsize)
