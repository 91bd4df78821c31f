"""The checksums that S3 services speak of."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

__all__ = [
    "CHEAPEST_FIRST",
    "OF_PARTS",
    "Piece",
    "Running",
    "base64_of",
    "begun",
    "content_md5_of",
    "crc32_of",
    "md5_of",
]

OF_PARTS: dict[str, Any] = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
"""What boto3 is told of a new upload in parts: the service is to look at each part, and to know a checksum of
the whole object, which who reads it can compare. One that knows no types makes one of the parts' own."""

CHEAPEST_FIRST = ("crc64nvme", "crc32c", "crc32", "sha1", "sha256", "sha512", "md5")
"""What `begun` takes; the first two only where awscrt is installed."""

Piece = bytes | memoryview
"""Bytes as they come."""


class Running(Protocol):
    """A checksum of what has come so far; what hashlib makes is one."""

    def update(self, piece: Piece, /) -> object:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Of all that was taken, the highest byte first."""


class _Crc:
    """A checksum that is a function of the next bytes and of what it was."""

    def __init__(self, step: Callable[[Piece, int], int], width: int) -> None:
        self._step, self._width, self._value = step, width, 0

    def update(self, piece: Piece, /) -> None:
        self._value = self._step(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def begun(name: str) -> Running | None:
    """A checksum of nothing yet, None for one that cannot be computed here.

    Args:
        name: As services call it, in lower case.
    """
    if name == "crc32":
        return _Crc(zlib.crc32, 4)
    if name in ("crc32c", "crc64nvme"):
        try:
            from awscrt import checksums
        except ImportError:
            return None
        return _Crc(checksums.crc32c, 4) if name == "crc32c" else _Crc(checksums.crc64nvme, 8)
    if name in CHEAPEST_FIRST:
        return hashlib.new(name, usedforsecurity=False)
    return None


def base64_of(digest: bytes) -> str:
    """A checksum as headers write it."""
    return base64.b64encode(digest).decode()


def crc32_of(data: bytes) -> str:
    """CRC-32 as ``x-amz-checksum-crc32`` writes it: base64 of its four bytes, the highest first."""
    return base64_of(zlib.crc32(data).to_bytes(4, "big"))


def md5_of(data: Piece) -> str:
    """MD5 as an ETag writes it: 32 hexadecimal digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def content_md5_of(data: bytes) -> str:
    """MD5 as ``Content-MD5`` writes it: base64 of its 16 bytes (RFC 1864)."""
    return base64_of(hashlib.md5(data, usedforsecurity=False).digest())
