"""Unsigned varints of the multiformats and of protobuf: seven bits a byte, least significant first.

Source: https://github.com/multiformats/unsigned-varint. Only the shortest form is accepted.
"""

from __future__ import annotations

__all__ = ["MAX_VARINT", "decode_varint", "encode_varint"]

MAX_VARINT = (1 << 64) - 1
"""The largest value taken: protobuf's uint64."""

_ONE_BYTE = tuple(bytes((n,)) for n in range(0x80))


def encode_varint(value: int) -> bytes:
    """Encode an integer from 0 to `MAX_VARINT` in one to ten bytes."""
    if value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes | bytearray | memoryview, at: int, end: int | None = None) -> tuple[int, int]:
    """Decode one varint.

    Args:
        data: Where it stands.
        at: Its first byte.
        end: The byte after the last one that may be read; by default the end of `data`.

    Returns:
        The value, and the position after it.

    Raises:
        ValueError: Cut short, longer than needed, or above `MAX_VARINT`.
    """
    if end is None:
        end = len(data)
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (not byte and shift) or value > MAX_VARINT:
                break
            return value, at
        shift += 7
        if shift > 63:
            break
    else:
        raise ValueError("a varint is cut short")
    raise ValueError("a varint is too long")
