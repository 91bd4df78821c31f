"""The checksums that S3 services speak of."""

from __future__ import annotations

import base64
import hashlib
import zlib

__all__ = ["content_md5_of", "crc32_of", "md5_of"]


def crc32_of(data: bytes) -> str:
    """CRC-32 as ``x-amz-checksum-crc32`` writes it: base64 of its four bytes, the highest first."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def md5_of(data: bytes) -> str:
    """MD5 as an ETag writes it: 32 hexadecimal digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def content_md5_of(data: bytes) -> str:
    """MD5 as ``Content-MD5`` writes it: base64 of its 16 bytes (RFC 1864)."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
