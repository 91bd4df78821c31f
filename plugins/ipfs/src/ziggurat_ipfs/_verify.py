"""Proof of what a node pins: every block of a pin read and hashed.

Kubo's own ``pin/verify`` looks at links only: it neither hashes a block nor misses a raw leaf that is gone.
"""

from __future__ import annotations

from collections.abc import Callable

from ziggurat.content import Cid, read_car
from ziggurat.errors import CorruptBlob, MalformedContent, ZigguratError
from ziggurat_ipfs._errors import NOT_HELD, Refused, refusal
from ziggurat_ipfs._rpc import Rpc

__all__ = ["prove_pin"]


def prove_pin(rpc: Rpc, cid: str, progress: Callable[[int], object] | None = None) -> tuple[int, int]:
    """Read all of a DAG from a node's own blocks, of any codec, and prove each.

    Args:
        rpc: The node.
        cid: Text of the root.
        progress: Told the bytes of blocks as they are proved.

    Returns:
        Blocks and their bytes; a block that occurs several times counts once.

    Raises:
        CorruptBlob: A block is not its CID's, or the node lacks one.
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
    try:
        for named, block in read_car(body.pieces()):
            if not named.matches(block):
                raise CorruptBlob(f"{cid}: the node gave bytes that are not those of {named}")
            root = root or named
            blocks, size = blocks + 1, size + len(block)
            if progress is not None:
                progress(len(block))
    except MalformedContent as error:
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
    return blocks, size


def _parsed(cid: str) -> Cid | None:
    try:
        return Cid.parse(cid)
    except ZigguratError:
        return None
