"""The text forms of binary CIDs: the six multibases that CIDs are written in, strict both ways.

Source: https://github.com/multiformats/multibase. A text is accepted only if encoding its bytes again gives
the same text, so every CID has exactly one text in a base.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

__all__ = [
    "BASES",
    "base32",
    "base58",
    "decode_base32",
    "decode_base58",
    "decode_multibase",
    "encode_multibase",
]

_B32 = b"abcdefghijklmnopqrstuvwxyz234567"
_B36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

# `int(text, 32)` counts in 0-9a-v: each symbol is translated first, and every other byte becomes one that
# `int` refuses, blanks, signs and underscores included.
_TO_INT32 = bytes(_B36.encode()[_B32.index(c)] if c in _B32 else 0x21 for c in range(256))
_FROM_INT32 = _B32.ljust(256, b"\0")
_DIGIT58 = {symbol: value for value, symbol in enumerate(_B58)}
_PAIRS58 = tuple(high + low for high in _B58 for low in _B58)

_LANES = 64
"""Symbols that `base32` spreads at once: 40 bytes."""


def _spread_steps() -> tuple[tuple[int, int, int], ...]:
    # Spreading 5-bit groups over 8-bit lanes by halves: six steps of shifts over one long integer instead of
    # a loop over 58 symbols.
    steps = []
    half = _LANES // 2
    while half:
        low = 0
        for lane in range(0, _LANES, 2 * half):
            low |= ((1 << 5 * half) - 1) << 8 * lane
        steps.append((low, low << 5 * half, 3 * half))
        half //= 2
    return tuple(steps)


_STEPS = _spread_steps()


def base32(data: bytes) -> str:
    """Encode in lower-case base32 (RFC 4648) without padding and without a multibase prefix."""
    count = -(-8 * len(data) // 5)
    if count > _LANES:
        return base64.b32encode(data).rstrip(b"=").lower().decode()
    value = int.from_bytes(data, "big") << (5 * count - 8 * len(data))
    for low, high, shift in _STEPS:
        value = (value & low) | ((value & high) << shift)
    return value.to_bytes(_LANES, "big").translate(_FROM_INT32)[_LANES - count :].decode()


def decode_base32(text: str) -> bytes:
    """Decode what `base32` writes; ValueError for anything else."""
    if not text:
        return b""
    bits = 5 * len(text)
    value = int(text.encode("ascii").translate(_TO_INT32), 32)
    spare = bits & 7
    if spare > 4 or value & ((1 << spare) - 1):
        raise ValueError("not canonical base32")
    return (value >> spare).to_bytes(bits >> 3, "big")


def base58(data: bytes) -> str:
    """Encode in base58btc without a multibase prefix."""
    value = int.from_bytes(data, "big")
    pairs = []
    while value:
        value, pair = divmod(value, 3364)
        pairs.append(_PAIRS58[pair])
    pairs.reverse()
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + "".join(pairs).lstrip("1")


def decode_base58(text: str) -> bytes:
    """Decode what `base58` writes; ValueError for anything else."""
    digits = _DIGIT58
    value = 0
    try:
        for symbol in text:
            value = value * 58 + digits[symbol]
    except KeyError:
        raise ValueError("not base58btc") from None
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _base36(data: bytes) -> str:
    value = int.from_bytes(data, "big")
    symbols = []
    while value:
        value, digit = divmod(value, 36)
        symbols.append(_B36[digit])
    symbols.reverse()
    return "0" * (len(data) - len(data.lstrip(b"\0"))) + "".join(symbols)


def _decode_base36(text: str) -> bytes:
    if not text:
        return b""
    if not (text.isascii() and text.isalnum()):
        raise ValueError("not base36")  # `int` takes signs, blanks and underscores
    value = int(text, 36)
    zeros = len(text) - len(text.lstrip("0"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode_base64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


BASES: dict[str, tuple[str, Callable[[bytes], str], Callable[[str], bytes]]] = {
    "base58btc": ("z", base58, decode_base58),
    "base32": ("b", base32, decode_base32),
    "base32upper": ("B", lambda data: base32(data).upper(), lambda text: decode_base32(text.lower())),
    "base36": ("k", _base36, _decode_base36),
    "base36upper": ("K", lambda data: _base36(data).upper(), _decode_base36),
    "base16": ("f", bytes.hex, bytes.fromhex),
    "base16upper": ("F", lambda data: data.hex().upper(), bytes.fromhex),
    "base64url": ("u", _base64url, _decode_base64url),
}
"""Name of a base: its multibase prefix, its encoder and its decoder."""

_BY_PREFIX = {prefix: (encode, decode) for prefix, encode, decode in BASES.values()}


def encode_multibase(base: str, data: bytes) -> str:
    """Encode with the multibase prefix; KeyError for a base that is not in `BASES`."""
    prefix, encode, _ = BASES[base]
    return prefix + encode(data)


def decode_multibase(text: str) -> bytes:
    """Decode text with a multibase prefix.

    Raises:
        ValueError: An unknown prefix, or not the text that encoding the bytes again would give.
    """
    known = _BY_PREFIX.get(text[:1])
    if known is None:
        raise ValueError("unknown multibase prefix")
    encode, decode = known
    data = decode(text[1:])
    if encode(data) != text[1:]:
        raise ValueError("not the canonical text of its bytes")
    return data
