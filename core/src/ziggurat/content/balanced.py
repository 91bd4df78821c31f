"""The balanced layout: leaves in order under nodes of at most `max_links` links, level by level."""

from __future__ import annotations

from functools import lru_cache

from ziggurat.content.cid import DAG_PB, RAW, Cid
from ziggurat.content.dagpb import encode_link
from ziggurat.content.hashes import HASHES
from ziggurat.content.leaves import Buffer, leaf_envelope
from ziggurat.content.profile import Profile
from ziggurat.content.unixfs import inner_data
from ziggurat.content.varint import encode_varint

__all__ = ["LeafHasher", "Tree", "leaf_hasher"]


class LeafHasher:
    """Hashes leaves as a profile writes them, without building their blocks; usable from threads.

    Attributes:
        prefix: What stands before the digest in the binary CID of a leaf.
    """

    __slots__ = ("_chunk", "_chunk_envelope", "_new", "_raw", "prefix")

    def __init__(self, profile: Profile) -> None:
        hash_ = HASHES[profile.hash_name]
        self._new = hash_.new
        self._raw = profile.raw_leaves
        self._chunk = profile.chunk_size
        self._chunk_envelope = leaf_envelope(profile.chunk_size)
        version = b"\x01" + encode_varint(RAW if self._raw else DAG_PB)
        multihash = encode_varint(hash_.code) + encode_varint(hash_.size)
        self.prefix = multihash if profile.cid_version == 0 and not self._raw else version + multihash

    def digest(self, payload: Buffer) -> bytes:
        """The hash of the leaf of these plain bytes."""
        if self._raw:
            return self._new(payload).digest()
        head, tail = self._envelope(len(payload))
        hasher = self._new(head)
        hasher.update(payload)
        hasher.update(tail)
        return hasher.digest()

    def block_size(self, size: int) -> int:
        """Bytes of the block of a leaf with `size` plain bytes."""
        return size if self._raw else size + sum(map(len, self._envelope(size)))

    def _envelope(self, size: int) -> tuple[bytes, bytes]:
        return self._chunk_envelope if size == self._chunk else leaf_envelope(size)


@lru_cache(32)
def leaf_hasher(profile: Profile) -> LeafHasher:
    """The hasher of a profile, made once: a small file costs less than the preparations."""
    return LeafHasher(profile)


class _Level:
    """The links of a node that is not full yet."""

    __slots__ = ("children", "count", "last", "links", "size", "sizes", "tsize")

    def __init__(self) -> None:
        self.count = 0
        self.links: list[bytes] = []
        self.sizes = bytearray()
        self.size = self.tsize = 0
        self.children: list[Cid] = []
        self.last = b""


class Tree:
    """Takes leaves in order and builds the inner nodes above them.

    A level holds the links of one unfinished node, so memory is bounded by the inner nodes themselves.

    Args:
        profile: How to link and name.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._levels = [_Level()]
        self._blocks: dict[Cid, tuple[bytes, tuple[Cid, ...]]] = {}

    def add(self, cid: bytes, size: int, tsize: int) -> None:
        """Append a leaf.

        Args:
            cid: Its binary CID.
            size: Its plain bytes.
            tsize: Bytes of its block.
        """
        self._append(0, cid, size, tsize, None)

    def _append(self, height: int, cid: bytes, size: int, tsize: int, child: Cid | None) -> None:
        if height == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[height]
        level.links.append(encode_link(cid, b"", tsize))
        level.sizes += b"\x20" + encode_varint(size)
        level.size += size
        level.tsize += tsize
        level.count += 1
        level.last = cid
        if child is not None:
            level.children.append(child)
        if level.count == self._profile.max_links:
            self._close(height)

    def _close(self, height: int) -> None:
        level, self._levels[height] = self._levels[height], _Level()
        data = inner_data(level.size, level.sizes)
        level.links += (b"\x0a", encode_varint(len(data)), data)
        block = b"".join(level.links)
        cid = Cid.of(block, DAG_PB, self._profile.hash_name, self._profile.cid_version)
        self._blocks[cid] = (block, tuple(level.children))
        self._append(height + 1, cid.bytes, level.size, len(block) + level.tsize, cid)

    def finish(self) -> tuple[Cid, int, int, dict[Cid, bytes]]:
        """Close every unfinished node.

        At least one leaf was added; the tree is used up.

        Returns:
            The root, the plain bytes, the bytes of all blocks as links count them (a block that stands
            twice counts twice), and the inner nodes depth first from the root.
        """
        height = 0
        while True:
            level = self._levels[height]
            top = height == len(self._levels) - 1
            if top and level.count == 1:
                root = Cid.from_bytes(level.last)
                return root, level.size, level.tsize, self._ordered(root)
            if level.count:
                self._close(height)
            height += 1

    def _ordered(self, root: Cid) -> dict[Cid, bytes]:
        ordered: dict[Cid, bytes] = {}
        pending = [root]
        while pending:
            cid = pending.pop()
            known = self._blocks.get(cid)
            if known is not None and cid not in ordered:
                ordered[cid] = known[0]
                pending += reversed(known[1])
        return ordered
