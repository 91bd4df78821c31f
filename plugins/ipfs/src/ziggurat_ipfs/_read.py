"""Reads: single blocks, streams of DAGs, and what a node knows of a root."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.backend import Stat
from ziggurat.content import MAX_BLOCK, Cid, Dag, read_car
from ziggurat.errors import MalformedContent, TierTimeout, TierUnavailable
from ziggurat_ipfs._errors import NOT_HELD, Refused, refusal
from ziggurat_ipfs._rpc import Rpc

__all__ = ["describe", "read_block", "read_dag"]

_GRACE = 5.0  # seconds that a node has beyond the time limit that it was given


def read_block(rpc: Rpc, cid: Cid, patience: float | None) -> bytes | None:
    """One block, None if the node does not have it.

    Args:
        rpc: The node.
        cid: The block.
        patience: Seconds to search the network when the node does not hold it; None not to search.

    Raises:
        TierTimeout: It was searched for and not found in time: somebody may still have it.
        Refused, TierError: The node could not tell.
    """
    try:
        return rpc.block("block/get", str(cid), limit=MAX_BLOCK, offline="true")
    except Refused as refused:
        if not NOT_HELD.search(refused.message):
            raise
    if patience is None:
        return None
    limit = f"{patience:g}s"
    try:
        return rpc.block("block/get", str(cid), limit=MAX_BLOCK, patience=patience + _GRACE, timeout=limit)
    except Refused as refused:
        if NOT_HELD.search(refused.message):
            return None
        told = refusal(refused)
        if isinstance(told, TierTimeout):
            # Not to be repeated at once: the search took its time already.
            raise TierTimeout(f"{rpc} did not find {cid} in the network within {limit}") from refused
        raise told from refused


def read_dag(rpc: Rpc, cid: Cid, patience: float | None) -> Dag | None:
    """The blocks of a DAG, root first; None if the node does not have the root.

    What the node holds comes as one stream. When its root must be searched for, only the root is given: the
    core asks for the blocks below it one by one, each with its own time limit.

    Raises:
        Refused, TierError: As `read_block`; the stream too, where it breaks.
    """
    try:
        body = rpc.open("dag/export", [str(cid)], {"offline": "true", "progress": "false"})
    except Refused as refused:
        if not NOT_HELD.search(refused.message):
            raise
        block = read_block(rpc, cid, patience) if patience is not None else None
        return None if block is None else Dag(lambda: iter(((cid, block),)))

    def pairs() -> Iterator[tuple[Cid, bytes]]:
        try:
            yield from read_car(body.pieces())
        except MalformedContent as error:
            if not body.failure:
                body.close()
                raise TierUnavailable(
                    f"dag/export at {rpc}: {error.message}: try again", retryable=True
                ) from error
        # A block that the node lacks ends the stream; the core asks for it, and for what comes behind it.
        if body.failure and not NOT_HELD.search(body.failure):
            raise refusal(body.refused())

    return Dag(pairs, close=body.close)


def describe(rpc: Rpc, cid: Cid) -> Stat:
    """Sizes of a root that is pinned, from its own block; none of a codec that has no files.

    Raises:
        TierError: The node could not tell.
    """
    try:
        rows = rpc.call("files/stat", f"/ipfs/{cid}", offline="true")
    except Refused as refused:
        if NOT_HELD.search(refused.message):
            return Stat()
        told = refusal(refused)
        if told.retryable or type(told) is not TierUnavailable:
            raise told from refused
        return Stat()  # not UnixFS: pinned, and without sizes
    row = rows[0] if rows and isinstance(rows[0], dict) else {}
    size, whole = row.get("Size"), row.get("CumulativeSize")
    return Stat(
        size=size if row.get("Type") == "file" and isinstance(size, int) else None,
        stored=whole if isinstance(whole, int) else None,
    )
