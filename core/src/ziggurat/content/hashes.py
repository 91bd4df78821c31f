"""The hash functions that prove content, and the names of some that are refused.

Codes: https://github.com/multiformats/multicodec/blob/master/table.csv.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ziggurat.errors import UnsupportedContent

__all__ = [
    "HASHES",
    "HASHES_BY_CODE",
    "IDENTITY",
    "MAX_IDENTITY",
    "Hash",
    "Hasher",
    "hash_by_name",
    "hash_title",
]

IDENTITY = 0x00
"""The code of a CID that carries its bytes instead of their hash."""

MAX_IDENTITY = 128
"""Largest block, in bytes, that a CID may carry (Kubo's limit as well)."""


class Hasher(Protocol):
    """What hashlib's objects offer of themselves here."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Hash more bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far."""


class Hash(NamedTuple):
    """A hash function that proves content.

    Attributes:
        name: As in the multicodec table and in ``ipfs add --hash``.
        code: Its multihash code.
        size: Bytes of its digest.
        new: Starts a hash over the bytes that it is given.
    """

    name: str
    code: int
    size: int
    new: Callable[[bytes | bytearray | memoryview], Hasher]


def _blake2b_256(data: bytes | bytearray | memoryview) -> Hasher:
    return hashlib.blake2b(data, digest_size=32)


HASHES: dict[str, Hash] = {
    hash_.name: hash_
    for hash_ in (
        Hash("sha2-256", 0x12, 32, hashlib.sha256),
        Hash("sha2-512", 0x13, 64, hashlib.sha512),
        Hash("blake2b-256", 0xB220, 32, _blake2b_256),
    )
}
"""The allow-list, by name."""

HASHES_BY_CODE = {hash_.code: hash_ for hash_ in HASHES.values()}

_REFUSED = {
    0x11: "sha1",
    0x14: "sha3-512",
    0x15: "sha3-384",
    0x16: "sha3-256",
    0x17: "sha3-224",
    0x18: "shake-128",
    0x19: "shake-256",
    0x1A: "keccak-224",
    0x1B: "keccak-256",
    0x1C: "keccak-384",
    0x1D: "keccak-512",
    0x1E: "blake3",
    0x20: "sha2-384",
    0x22: "murmur3-x64-64",
    0x56: "dbl-sha2-256",
    0xD4: "md4",
    0xD5: "md5",
    0x1012: "sha2-256-trunc254-padded",
    0x1013: "sha2-224",
    0x1014: "sha2-512-224",
    0x1015: "sha2-512-256",
    0xB214: "blake2b-160",
    0xB240: "blake2b-512",
    0xB260: "blake2s-256",
    0xB401: "poseidon-bls12_381-a2-fc1",
}


def hash_title(code: int) -> str:
    """The name of a multihash code for a message, or its number."""
    known = HASHES_BY_CODE.get(code)
    return known.name if known else _REFUSED.get(code, f"0x{code:x}")


def hash_by_name(name: str) -> Hash:
    """Find a hash of the allow-list.

    Raises:
        UnsupportedContent: It is not on the list.
    """
    try:
        return HASHES[name]
    except KeyError:
        known = ", ".join(HASHES)
        raise UnsupportedContent(f"hash {name!r} is not supported; use one of {known}") from None
