"""Proof of what a node pins: every block of a pin read and hashed.

Kubo's own ``pin/verify`` looks at links only: it neither hashes a block nor misses a raw leaf that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ziggurat.content import Cid, links, links_readable, read_car
from ziggurat.errors import CorruptBlob, InvalidCid, MalformedContent, UnsupportedContent, ZigguratError
from ziggurat_ipfs._errors import NOT_HELD, Refused, refusal
from ziggurat_ipfs._rpc import Rpc

__all__ = ["prove_pin"]


def prove_pin(rpc: Rpc, cid: str, progress: Callable[[int], object] | None = None) -> tuple[int, int]:
    """Read all of a DAG from a node's own blocks, and prove each, and that none is missing.

    What a block of a codec links to that we cannot read is left to the node's word.

    Args:
        rpc: The node.
        cid: Text of the root.
        progress: Told the bytes of blocks as they are proved.

    Returns:
        Blocks and their bytes; a block that occurs several times counts once.

    Raises:
        CorruptBlob: A block is not its CID's, or the node lacks one.
        UnsupportedContent: It has a block under a hash that we cannot prove.
        TierError: The node could not tell.
    """
    try:
        body = rpc.open("dag/export", [cid], {"offline": "true", "progress": "false"})
    except Refused as refused:
        if NOT_HELD.search(refused.message):
            raise CorruptBlob(f"{cid} is pinned, and its root is not there") from refused
        raise refusal(refused) from refused
    blocks = size = 0
    root: Cid | None = None
    seen: set[Cid] = set()
    wanted: set[Cid] = set()
    try:
        for named, block in read_car(body.pieces()):
            if not named.matches(block):
                raise CorruptBlob(f"{cid}: the node gave bytes that are not those of {named}")
            root = root or named
            if named in seen:
                continue
            seen.add(named)
            wanted.update(_links(named, block))
            blocks, size = blocks + 1, size + len(block)
            if progress is not None:
                progress(len(block))
    except MalformedContent as error:
        if isinstance(error.__cause__, InvalidCid):
            raise UnsupportedContent(f"{cid} cannot be proved: {error.message}", cid=cid) from error
        if not body.failure:
            raise CorruptBlob(f"{cid}: {error.message}") from error
    finally:
        body.close()
    if body.failure:
        if NOT_HELD.search(body.failure):
            raise CorruptBlob(f"{cid} is pinned, and not whole: {body.failure}")
        raise refusal(body.refused())
    if root is None or root != _parsed(cid):
        raise CorruptBlob(f"{cid}: the node gave another DAG")
    if lacking := wanted - seen:
        raise CorruptBlob(f"{cid} is pinned, and not whole: the node left out {next(iter(lacking))}")
    return blocks, size


def _links(cid: Cid, block: bytes) -> Iterator[Cid]:
    """What a block links to, and what a block that is inlined in it links to."""
    if not links_readable(cid.codec):
        return
    for link in links(block, cid.codec):
        if link.identity is None:
            yield link
        else:
            yield from _links(link, link.identity)


def _parsed(cid: str) -> Cid | None:
    try:
        return Cid.parse(cid)
    except ZigguratError:
        return None
