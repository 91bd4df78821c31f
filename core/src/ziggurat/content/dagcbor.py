"""DAG-CBOR: values of the IPLD data model as canonical CBOR.

Source: https://ipld.io/specs/codecs/dag-cbor/spec/. A link is tag 42 around a zero byte and the CID; there
is no other tag. Keys of a map are sorted by length, then by their bytes.
"""

from __future__ import annotations

from typing import Any

from ziggurat.content.cid import MAX_BLOCK, Cid
from ziggurat.content.datamodel import MAX_NESTING, Form, Value, finite, fitting, lowered, no_float, shaped
from ziggurat.errors import InvalidCid, MalformedContent, UnsupportedContent

__all__ = ["cbor_links", "decode", "encode"]

_LINK = 42


def _link(cid: Cid) -> object:
    from cbor2 import CBORTag

    return CBORTag(_LINK, b"\0" + cid.bytes)


def _ordered(table: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(table.items(), key=lambda item: (len(name := item[0].encode()), name)))


_READ = Form("DAG-CBOR", _link, bytes, finite, _ordered)
_WRITTEN = _READ._replace(real=no_float(_READ.name))


def encode(value: Value) -> bytes:
    """Write a value; equal values make equal bytes.

    Args:
        value: None, bool, int, str, bytes, `Cid`, and lists, tuples and dicts of them.

    Raises:
        UnsupportedContent: A float, an integer of more than 64 bits and a sign, a key that is not text, or a
            type that the data model does not have.
        MalformedContent: Nested deeper than `ziggurat.content.datamodel.MAX_NESTING`.
        BlobTooLarge: The block is larger than `ziggurat.content.MAX_BLOCK`.
    """
    return fitting(_dumps(shaped(value, _WRITTEN)), _WRITTEN.name)


def decode(block: bytes | bytearray | memoryview, *, limit: int = MAX_BLOCK) -> Value:
    """Read a block that is written as `encode` writes it, or with floats, which the codec has in 64 bits.

    Args:
        block: The block.
        limit: Largest block taken, bytes; above that of content for messages of a protocol alone.

    Returns:
        The value, with links as `Cid`, lists as `list` and maps as `dict` in the block's order.

    Raises:
        MalformedContent: Anything else than one canonical item: an indefinite length, an integer that is
            longer than needed, keys out of order or repeated, another tag than a link's, bytes behind it, a
            link that is no CID, nested too deep, above `limit`.
    """
    block = bytes(block)
    value = _read(block, [], limit)
    try:
        canonical = _dumps(shaped(value, _READ)) == block
    except UnsupportedContent as error:
        raise MalformedContent(f"not DAG-CBOR: {error.message}") from None
    if not canonical:
        raise MalformedContent("not canonical DAG-CBOR: it would be written with other bytes")
    return value  # type: ignore[no-any-return] # `shaped` has just found it to be one


def cbor_links(block: bytes) -> list[Cid]:
    """The links of a block in its order, whether it is canonical or not.

    Historical blocks have keys in other orders and floats of any width; Kubo reads them, and so their links
    count. What no reader takes is refused: other tags, repeated keys, indefinite lengths.

    Raises:
        MalformedContent: Not one item of CBOR, or above a limit.
    """
    found: list[Cid] = []
    _read(block, found, MAX_BLOCK)
    return found


def _dumps(value: object) -> bytes:
    from cbor2 import dumps

    # Not its `canonical`: that shortens floats, which are 64 bits wide here; the maps are in order already.
    return dumps(value)


class _Tags(dict[int, Any]):
    """Refuses every tag but that of a link, also those that cbor2 would understand by itself."""

    def __missing__(self, tag: int) -> Any:
        if tag == _LINK:
            raise KeyError(tag)  # it goes on to the tag hook, with its content read

        def refuse(_decoder: object, _immutable: bool) -> object:
            raise MalformedContent(f"tag {tag} is no part of it")

        return refuse


_TAGS = _Tags()


def _read(block: bytes, found: list[Cid], limit: int) -> Any:
    """One item and nothing behind it; its links go to `found` as well."""
    from io import BytesIO

    from cbor2 import CBORDecodeError, CBORDecoder

    if len(block) > limit:
        raise MalformedContent(f"a DAG-CBOR block of {len(block)} bytes is above the limit of {limit}")

    def link(tag: Any, _immutable: bool) -> Cid:
        content = tag.value
        if not isinstance(content, bytes) or content[:1] != b"\0":
            raise MalformedContent("a link does not begin with a zero byte")
        cid = Cid.from_bytes(content[1:])
        found.append(cid)
        return cid

    source = BytesIO(block)
    decoder = CBORDecoder(
        source,
        tag_hook=link,
        semantic_decoders=_TAGS,
        max_depth=MAX_NESTING,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        value = decoder.decode()
    except (CBORDecodeError, MalformedContent, InvalidCid) as error:
        raise MalformedContent(f"not DAG-CBOR: {_reason(error)}") from error
    if source.tell() != len(block):
        raise MalformedContent(f"not DAG-CBOR: {len(block) - source.tell()} bytes follow its value")
    return value


def _reason(error: BaseException) -> str:
    """The innermost reason: cbor2 wraps what a hook raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    return lowered(str(error))
