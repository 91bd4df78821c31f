"""The links of a block, whatever its codec."""

from __future__ import annotations

from typing import Final

from ziggurat.content.cid import DAG_CBOR, DAG_JSON, DAG_PB, RAW, Cid
from ziggurat.errors import UnsupportedContent

__all__ = ["links", "links_readable"]

_CBOR: Final = 0x51
_JSON: Final = 0x0200
_WITHOUT: Final = frozenset((RAW, _CBOR, _JSON))
_READABLE: Final = _WITHOUT | {DAG_PB, DAG_CBOR, DAG_JSON}


def links_readable(codec: int) -> bool:
    """True for a codec whose links `links` reads, and for one that has none."""
    return codec in _READABLE


def links(block: bytes | bytearray | memoryview, codec: int) -> tuple[Cid, ...]:
    """What a block links to, each CID once, in the block's order.

    Blocks that are not canonical count too: what they link to belongs to the DAG. What is in doubt is
    refused, and no link that Kubo follows is passed over.

    Args:
        block: At most `ziggurat.content.MAX_BLOCK` bytes; whether it is its CID's is not asked.
        codec: Its multicodec, such as `ziggurat.content.DAG_CBOR`; raw, plain CBOR and plain JSON have no
            links.

    Raises:
        UnsupportedContent: A codec whose links cannot be read.
        MalformedContent: Not a block of that codec, or above a limit.
    """
    if codec in _WITHOUT:
        return ()
    block = bytes(block)
    if codec == DAG_PB:
        from ziggurat.content.dagpb import decode_node

        return tuple(dict.fromkeys(link.cid for link in decode_node(block)[0]))
    if codec == DAG_CBOR:
        from ziggurat.content.dagcbor import cbor_links

        return tuple(dict.fromkeys(cbor_links(block)))
    if codec == DAG_JSON:
        from ziggurat.content.dagjson import json_links

        return tuple(dict.fromkeys(json_links(block)))
    raise UnsupportedContent(
        f"the links of codec 0x{codec:x} cannot be read; raw, dag-pb, dag-cbor and dag-json are known"
    )
