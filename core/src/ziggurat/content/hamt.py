"""HAMT directories: large directories spread over shards by the hash of each name.

Source: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory. A link's name begins with its place in the shard
in upper-case hex; a link that has nothing more is a sub-shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ziggurat.content.cid import DAG_PB, Cid
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.unixfs import HAMT_HASH, Node
from ziggurat.content.varint import encode_varint
from ziggurat.errors import MalformedContent, UnsupportedContent

__all__ = ["build_hamt", "check_name", "directory_entries", "entry_name", "hamt_entries", "hamt_path"]


def check_name(name: str) -> bytes:
    """Check the name of a directory entry, and encode it.

    Raises:
        MalformedContent: Empty, ".", "..", with "/" or NUL in it, or not encodable as UTF-8.
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise MalformedContent(f"name {name!a} is not UTF-8; rename the entry") from None
    entry_name(raw)
    return raw


def entry_name(raw: bytes) -> str:
    """Check and decode the name of a directory entry.

    Raises:
        MalformedContent: As `check_name`.
    """
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise MalformedContent(f"name {raw[:80]!r} in a directory is not UTF-8") from None
    if not name or name == "." or name == ".." or "/" in name or "\0" in name:
        raise MalformedContent(f"name {name[:80]!a} is not allowed in a directory")
    return name


def hamt_entries(node: Node) -> Iterator[tuple[str | None, Link]]:
    """The entries of one HAMT shard.

    Args:
        node: A node of type "hamt".

    Yields:
        Name and link of each entry; None as name for a sub-shard.

    Raises:
        MalformedContent: Not a shard, or its names do not stand at the places of its bit field.
    """
    if node.type != "hamt":
        raise MalformedContent("not a HAMT shard")
    width = _width(node.fanout)
    field = int.from_bytes(node.data, "big")
    for link in node.links:
        place = (field & -field).bit_length() - 1
        field &= field - 1
        if link.name[:width] != b"%0*X" % (width, place):
            raise MalformedContent("a HAMT shard whose names do not fit its bit field")
        yield (entry_name(link.name[width:]) if len(link.name) > width else None), link


def directory_entries(node: Node) -> Iterator[tuple[str | None, Link]]:
    """The entries of a flat directory or of one HAMT shard, as by `hamt_entries`.

    Raises:
        MalformedContent: Not a directory, or a name that is not allowed.
    """
    if node.type == "directory":
        return ((entry_name(link.name), link) for link in node.links)
    return hamt_entries(node)


def _width(fanout: int) -> int:
    return len(f"{fanout - 1:X}")


def _hash_name(name: bytes) -> int:
    import mmh3

    return int(mmh3.hash64(name, 0, True, signed=False)[0])


def hamt_path(name: str, fanout: int) -> Iterator[str]:
    """The places of a name in a HAMT, shard by shard from the root, as link prefixes.

    Args:
        name: The entry's name.
        fanout: Places of each shard.
    """
    bits, width = fanout.bit_length() - 1, _width(fanout)
    hashed = _hash_name(name.encode())
    for shift in range(64 - bits, -1, -bits):
        yield f"{hashed >> shift & (fanout - 1):0{width}X}"


def build_hamt(
    entries: Sequence[Link], *, fanout: int, hash_name: str, version: int
) -> tuple[Cid, int, dict[Cid, bytes]]:
    """Build a HAMT directory.

    Args:
        entries: Links with distinct, checked names, in any order.
        fanout: Places of each shard, a power of two.
        hash_name: What the shards are hashed with.
        version: CID version of the shards.

    Returns:
        The root, the bytes of all blocks beneath it as links count them, and the shards root first.

    Raises:
        UnsupportedContent: More names collide than the 64 bits of their hashes can tell apart.
    """
    bits, width = fanout.bit_length() - 1, _width(fanout)
    tail = b"\x28" + encode_varint(HAMT_HASH) + b"\x30" + encode_varint(fanout)

    def shard(items: list[tuple[int, Link]], shift: int) -> tuple[Cid, int, list[tuple[Cid, bytes]]]:
        if shift < 0:
            raise UnsupportedContent("too many names of a directory have the same hash")
        places: dict[int, list[tuple[int, Link]]] = {}
        for item in items:
            places.setdefault(item[0] >> shift & (fanout - 1), []).append(item)
        field = total = 0
        links, below = [], []
        for place in sorted(places):
            field |= 1 << place
            prefix = b"%0*X" % (width, place)
            group = places[place]
            if len(group) == 1:
                link = group[0][1]
                links.append(Link(link.cid, prefix + link.name, link.tsize))
            else:
                cid, size, pairs = shard(group, shift - bits)
                links.append(Link(cid, prefix, size))
                below += pairs
            total += links[-1].tsize
        raw = field.to_bytes((field.bit_length() + 7) // 8, "big")
        block = encode_node(links, b"\x08\x05\x12" + encode_varint(len(raw)) + raw + tail)
        cid = Cid.of(block, DAG_PB, hash_name, version)
        return cid, len(block) + total, [(cid, block), *below]

    root, tsize, pairs = shard([(_hash_name(link.name), link) for link in entries], 64 - bits)
    return root, tsize, dict(pairs)
