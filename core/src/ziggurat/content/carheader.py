"""The header of a CAR: a small DAG-CBOR map, strict.

Source: https://ipld.io/specs/codecs/dag-cbor/spec/ and https://ipld.io/specs/transport/car/carv1/. The map
has two possible shapes, so nothing more of CBOR is understood here.
"""

from __future__ import annotations

from typing import Final

from ziggurat.content.cid import Cid
from ziggurat.errors import InvalidCid, MalformedContent

__all__ = ["MAX_HEADER", "decode_header", "encode_header"]

MAX_HEADER: Final = 1 << 20
"""Largest header taken, bytes: some 25,000 roots."""

_V1_START = b"\xa2\x65roots"
_V1_END = b"\x67version\x01"
_V2 = b"\xa1\x67version\x02"
_LINK = b"\xd8\x2a"
_BYTES, _ARRAY = 2, 4


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    for extra in range(3):
        if value < 1 << (8 << extra):
            return bytes((major << 5 | 24 + extra,)) + value.to_bytes(1 << extra, "big")
    raise MalformedContent("too many roots for the header of a CAR")


def _read_head(data: bytes, at: int, major: int) -> tuple[int, int]:
    first = data[at]
    at += 1
    if first >> 5 != major:
        raise ValueError("an unexpected type")
    value = first & 31
    if value < 24:
        return value, at
    if value > 26:
        raise ValueError("an unexpected length")
    extra = value - 24
    width = 1 << extra
    value = int.from_bytes(data[at : at + width], "big")
    if value < (24 if not extra else 1 << (8 * width // 2)):
        raise ValueError("a length that is longer than needed")
    return value, at + width


def encode_header(roots: tuple[Cid, ...]) -> bytes:
    """Encode the header of a version 1 CAR, without its length in front."""
    links = [_LINK + _head(_BYTES, len(root.bytes) + 1) + b"\0" + root.bytes for root in roots]
    return b"".join((_V1_START, _head(_ARRAY, len(links)), *links, _V1_END))


def decode_header(data: bytes) -> tuple[int, tuple[Cid, ...]]:
    """Decode the header of a CAR.

    Returns:
        Its version, 1 or 2, and its roots, none for version 2.

    Raises:
        MalformedContent: Anything else than a canonical header.
    """
    if data == _V2:
        return 2, ()
    roots: list[Cid] = []
    try:
        if not data.startswith(_V1_START):
            raise ValueError("it does not begin with its roots")
        count, at = _read_head(data, len(_V1_START), _ARRAY)
        while len(roots) < count:
            if data[at : at + 2] != _LINK:
                raise ValueError("a root is not a link")
            length, at = _read_head(data, at + 2, _BYTES)
            if data[at] or length < 1:
                raise ValueError("a root is not a link")
            end = at + length
            if end > len(data):
                raise ValueError("it is cut short")
            roots.append(Cid.from_bytes(data[at + 1 : end]))
            at = end
        if data[at:] != _V1_END:
            raise ValueError("it does not end with its version")
    except InvalidCid as error:
        raise MalformedContent(f"root {len(roots)} of a CAR: {error.message}") from error
    except (ValueError, IndexError) as error:
        why = "it is cut short" if isinstance(error, IndexError) else str(error)
        raise MalformedContent(f"not the header of a CAR: {why}") from None
    return 1, tuple(roots)
