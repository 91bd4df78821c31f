"""Whether content that is already there is equal: by size and MD5, and only where the ETag tells it.

An ETag is the MD5 of the content for what was put in one piece, and for parts the MD5 of the parts' MD5s,
with their number after a hyphen
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html#AmazonS3-Type-Object-ETag). With KMS or a
customer's key it is neither. So a tag can prove that content is equal, and cannot prove that it is not: what
cannot be told is transferred.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from typing import BinaryIO

__all__ = ["equals_file", "is_md5", "joined_tag", "proves_equal"]

_MIB = 1 << 20
_WHOLE = re.compile(r"[0-9a-f]{32}")
_PARTS = re.compile(r"[0-9a-f]{32}-(\d{1,5})")
_COMMON = tuple(_MIB * size for size in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024))


def is_md5(e_tag: str) -> bool:
    """Whether a tag looks like the MD5 of a whole content."""
    return _WHOLE.fullmatch(e_tag) is not None


def proves_equal(size: int, e_tag: str, other_size: int | None, other_tag: str) -> bool:
    """Whether two objects are certainly equal, by what a service says of both."""
    return size == other_size and e_tag == other_tag and bool(_WHOLE.match(e_tag))


def joined_tag(tags: Iterable[str]) -> str:
    """The tag of an object made of parts with these tags; "" when one is no MD5."""
    parts = list(tags)
    if not all(map(is_md5, parts)):
        return ""
    joined = hashlib.md5(b"".join(map(bytes.fromhex, parts)), usedforsecurity=False).hexdigest()
    return f"{joined}-{len(parts)}"


def equals_file(file: BinaryIO, size: int, e_tag: str, part_size: int) -> bool:
    """Whether a file certainly has the content of an object; it is read only when that can be told.

    Args:
        file: The open file.
        size: Of the object.
        e_tag: Of the object.
        part_size: Bytes of a part as we upload a file of this size; for objects that others made in parts the
            usual sizes are tried too.

    Raises:
        OSError: The file could not be read.
    """
    if file.seek(0, os.SEEK_END) != size:
        return False
    file.seek(0)
    if is_md5(e_tag):
        return _whole_tag(file) == e_tag
    found = _PARTS.fullmatch(e_tag)
    if not found:
        return False
    count = int(found[1])
    sizes = {part for part in (part_size, *_COMMON) if -(-size // part) == count}
    if count == 1:
        sizes = {max(size, 1)}
    return any(_tag_by_parts(file, part) == e_tag for part in sorted(sizes))


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _whole_tag(file: BinaryIO) -> str:
    digest = _md5()
    while piece := file.read(_MIB):
        digest.update(piece)
    return digest.hexdigest()


def _tag_by_parts(file: BinaryIO, part_size: int) -> str:
    file.seek(0)
    tags: list[str] = []
    while True:
        digest, left = _md5(), part_size
        while left and (piece := file.read(min(left, _MIB))):
            digest.update(piece)
            left -= len(piece)
        if left == part_size and tags:
            return joined_tag(tags)
        tags.append(digest.hexdigest())
        if left:
            return joined_tag(tags)
