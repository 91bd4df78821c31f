"""Profiles: the knobs that decide which CID a file or directory gets.

Source: https://github.com/ipfs/specs/blob/main/src/ipips/ipip-0499.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from attrs import Attribute, field, frozen

from ziggurat.content.cid import MAX_BLOCK
from ziggurat.content.hashes import HASHES
from ziggurat.content.unixfs import MAX_FANOUT
from ziggurat.errors import UnsupportedContent

__all__ = ["MAX_CHUNK", "PROFILES", "Estimation", "Profile", "parse_chunker", "profile_by_name"]

Estimation = Literal["block", "links", "disabled"]

MAX_CHUNK: Final = MAX_BLOCK - 256
"""Largest chunk in bytes, so that a dag-pb leaf stays a block (Kubo's limit as well)."""

MAX_FILE_LINKS: Final = 16384
"""Most links of an inner file node, so that it stays a block under every hash."""

_CUSTOM = "custom"
_ENCODING = re.compile(
    r"cid=([01]),chunk=(\d{1,9}),leaves=(raw|dag-pb),links=(\d{1,9}),hash=([a-z0-9-]{1,32}),"
    r"hamt=(block|links|disabled):(\d{1,18}):(\d{1,9})",
    re.ASCII,
)


def _within(low: int, high: int, what: str) -> Any:
    def check(_: object, __: Attribute[int], value: int) -> None:
        if not low <= value <= high:
            raise UnsupportedContent(f"{what} {value} is not supported; use {low} to {high}")

    return check


def _one_of(known: tuple[object, ...], what: str) -> Any:
    def check(_: object, __: Attribute[object], value: object) -> None:
        if value not in known:
            raise UnsupportedContent(
                f"{what} {value!r} is not supported; use one of {', '.join(map(str, known))}"
            )

    return check


@frozen(kw_only=True)
class Profile:
    """How content is cut, linked and named.

    Attributes:
        name: Its name in IPIP-0499, or "custom".
        cid_version: 0 or 1.
        chunk_size: Bytes of a leaf, 1 to `MAX_CHUNK`.
        raw_leaves: True for raw leaves, False for dag-pb leaves.
        max_links: Most links of an inner file node, 2 to 16384.
        hash_name: A name of `ziggurat.content.hashes.HASHES`.
        hamt_threshold: A directory whose estimated size is greater, in bytes, becomes a HAMT.
        hamt_size_estimation: "block" counts the bytes of the flat directory's block, "links" the names and
            binary CIDs only; "disabled" keeps every directory flat.
        hamt_fanout: Places of a HAMT shard, a power of two from 8 to 1024.

    Raises:
        UnsupportedContent: A value, or a combination, that is refused.
    """

    name: str = _CUSTOM
    cid_version: int = field(default=1, validator=_one_of((0, 1), "CID version"))
    chunk_size: int = field(default=1 << 20, validator=_within(1, MAX_CHUNK, "a chunk size of"))
    raw_leaves: bool = True
    max_links: int = field(default=1024, validator=_within(2, MAX_FILE_LINKS, "a file link count of"))
    hash_name: str = field(default="sha2-256", validator=_one_of(tuple(HASHES), "hash"))
    hamt_threshold: int = field(default=1 << 18, validator=_within(1, 1 << 40, "a HAMT threshold of"))
    hamt_size_estimation: Estimation = field(
        default="block", validator=_one_of(("block", "links", "disabled"), "HAMT size estimation")
    )
    hamt_fanout: int = field(default=256, validator=_within(8, MAX_FANOUT, "a HAMT fanout of"))

    def __attrs_post_init__(self) -> None:
        if self.cid_version == 0 and self.hash_name != "sha2-256":
            raise UnsupportedContent(
                f"CID version 0 has no hash but sha2-256; use version 1 with {self.hash_name}"
            )
        if self.hamt_fanout & (self.hamt_fanout - 1):
            raise UnsupportedContent(f"a HAMT fanout of {self.hamt_fanout} is not a power of two")

    @property
    def encoding(self) -> str:
        """All knobs in one stable line, from which `from_encoding` makes the profile again."""
        return (
            f"cid={self.cid_version},chunk={self.chunk_size},leaves={'raw' if self.raw_leaves else 'dag-pb'},"
            f"links={self.max_links},hash={self.hash_name},"
            f"hamt={self.hamt_size_estimation}:{self.hamt_threshold}:{self.hamt_fanout}"
        )

    @classmethod
    def from_encoding(cls, text: str) -> Profile:
        """Make a profile of what `encoding` wrote; it has its published name again if it is one.

        Raises:
            UnsupportedContent: Not such a line, or a value that is refused.
        """
        found = _ENCODING.fullmatch(text)
        if found is None:
            raise UnsupportedContent(f"{text[:120]!a} is not the encoding of a profile")
        version, chunk, leaves, links, hash_name, estimation, threshold, fanout = found.groups()
        knobs: dict[str, Any] = {
            "cid_version": int(version),
            "chunk_size": int(chunk),
            "raw_leaves": leaves == "raw",
            "max_links": int(links),
            "hash_name": hash_name,
            "hamt_threshold": int(threshold),
            "hamt_size_estimation": estimation,
            "hamt_fanout": int(fanout),
        }
        for profile in PROFILES.values():
            if all(getattr(profile, knob) == value for knob, value in knobs.items()):
                return profile
        return cls(**knobs)


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "unixfs-v1-2025": Profile(name="unixfs-v1-2025"),
        "unixfs-v0-2015": Profile(
            name="unixfs-v0-2015",
            cid_version=0,
            chunk_size=1 << 18,
            raw_leaves=False,
            max_links=174,
            hamt_size_estimation="links",
        ),
    }
)
"""The published profiles by name; the first is the default."""


def profile_by_name(name: str) -> Profile:
    """Find a published profile.

    Raises:
        UnsupportedContent: No profile has that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UnsupportedContent(f"profile {name!r} is not known; use one of {', '.join(PROFILES)}") from None


def parse_chunker(text: str) -> int:
    """Read a chunker as ``ipfs add --chunker`` takes it.

    Args:
        text: ``size-N``, N in bytes.

    Returns:
        The chunk size, 1 to `MAX_CHUNK` bytes.

    Raises:
        UnsupportedContent: Another chunker, such as rabin or buzhash, or a size out of range.
    """
    kind, _, size = text.partition("-")
    if kind != "size":
        raise UnsupportedContent(f"chunker {text[:80]!a} is not supported; use size-N")
    if not (size.isascii() and size.isdigit() and len(size) <= 9) or not 1 <= int(size) <= MAX_CHUNK:
        raise UnsupportedContent(f"chunker {text[:80]!a} is out of range; use size-1 to size-{MAX_CHUNK}")
    return int(size)
