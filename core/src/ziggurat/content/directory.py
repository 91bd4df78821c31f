"""Directories and symlinks to DAGs: flat, or a HAMT where the profile asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from ziggurat.content.cid import DAG_PB, MAX_BLOCK, Cid
from ziggurat.content.dagpb import Link, encode_link, encode_node
from ziggurat.content.hamt import build_hamt, check_name
from ziggurat.content.profile import Profile
from ziggurat.content.unixfs import DIRECTORY_DATA
from ziggurat.content.varint import encode_varint
from ziggurat.errors import BlobTooLarge, MalformedContent

__all__ = ["MAX_PATH_DEPTH", "DirEntry", "DirectoryDag", "build_directory", "build_symlink"]

MAX_PATH_DEPTH: Final = 256
"""Directories within directories that are kept and followed."""

_FLAT_OVERHEAD = 2 + len(DIRECTORY_DATA)


@frozen
class DirEntry:
    """One entry of a directory that is being built.

    Attributes:
        name: Its name.
        cid: Its root.
        tsize: Bytes of all its blocks, as its own import counted them.
        size: Its plain bytes; of a directory the sum beneath.
    """

    name: str
    cid: Cid
    tsize: int
    size: int


@frozen(eq=False)
class DirectoryDag:
    """A directory or a symlink as a DAG; the entries' own DAGs are not part of it.

    Attributes:
        root: Its CID.
        size: Plain bytes beneath it, of all entries together; 0 for a symlink.
        tsize: Bytes of all blocks, the entries' included, as the link of a parent counts them.
        nodes: Its blocks, root first.
        profile: How it was made.
    """

    root: Cid
    size: int
    tsize: int
    nodes: dict[Cid, bytes]
    profile: Profile


def build_directory(entries: Iterable[DirEntry], profile: Profile) -> DirectoryDag:
    """Make a directory of entries that have their DAGs already.

    Args:
        entries: In any order.
        profile: Decides between flat and HAMT, and how nodes are named.

    Raises:
        MalformedContent: A name that is not allowed, or that stands twice.
        BlobTooLarge: A flat directory above the limit for a block, where the profile allows no HAMT.
        UnsupportedContent: Names whose hashes collide.
    """
    links: dict[bytes, Link] = {}
    size = 0
    for entry in entries:
        raw = check_name(entry.name)
        if raw in links:
            raise MalformedContent(f"name {entry.name!a} stands twice in a directory")
        links[raw] = Link(entry.cid, raw, entry.tsize)
        size += entry.size
    if _wants_hamt(links.values(), profile):
        root, tsize, nodes = build_hamt(
            tuple(links.values()),
            fanout=profile.hamt_fanout,
            hash_name=profile.hash_name,
            version=profile.cid_version,
        )
        return DirectoryDag(root, size, tsize, nodes, profile)
    length = _flat_size(links.values())
    if length > MAX_BLOCK:
        raise BlobTooLarge(
            f"a flat directory of {len(links)} entries takes {length} bytes, above the limit of {MAX_BLOCK} "
            "for a block; lower the HAMT threshold"
        )
    block = encode_node((links[raw] for raw in sorted(links)), DIRECTORY_DATA)
    return _one_node(block, size, sum(link.tsize for link in links.values()), profile)


def build_symlink(target: str, profile: Profile) -> DirectoryDag:
    """Make a symlink.

    Args:
        target: Where it points, as `os.readlink` tells it; it is not looked at.
        profile: How the node is named.

    Raises:
        MalformedContent: A target that has no bytes, or does not fit in a block.
    """
    try:
        raw = target.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MalformedContent(f"symlink target {target[:80]!a} is not UTF-8") from None
    if not raw:
        raise MalformedContent("a symlink needs a target")
    return _one_node(encode_node((), b"\x08\x04\x12" + encode_varint(len(raw)) + raw), 0, 0, profile)


def _one_node(block: bytes, size: int, below: int, profile: Profile) -> DirectoryDag:
    cid = Cid.of(block, DAG_PB, profile.hash_name, profile.cid_version)
    return DirectoryDag(cid, size, len(block) + below, {cid: block}, profile)


def _flat_size(links: Iterable[Link]) -> int:
    return _FLAT_OVERHEAD + sum(len(encode_link(link.cid.bytes, link.name, link.tsize)) for link in links)


def _wants_hamt(links: Iterable[Link], profile: Profile) -> bool:
    # IPIP-0499: greater than the threshold; Kubo before 0.40 took a directory of exactly that size too.
    if profile.hamt_size_estimation == "disabled":
        return False
    if profile.hamt_size_estimation == "links":
        size = sum(len(link.name) + len(link.cid.bytes) for link in links)
    else:
        size = _flat_size(links)
    return size > profile.hamt_threshold
