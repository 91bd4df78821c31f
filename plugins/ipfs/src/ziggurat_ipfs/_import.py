"""Uploads: CARs into ``dag/import``, framed by hand so that nothing is held but the block under way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from ziggurat.content import Cid, Dag, car_header, car_section_size, write_car
from ziggurat.errors import ContentMismatch, TierUnavailable, ZigguratError
from ziggurat_ipfs._errors import NOT_HELD, Refused, one_line, refusal
from ziggurat_ipfs._options import Provide
from ziggurat_ipfs._rpc import Rpc, multipart

__all__ = ["holds_block", "import_blocks", "import_dag", "resume_dag"]

Pair = tuple[Cid, bytes]

_JOIN = 1 << 17  # bytes that are sent in one piece
_WINDOW = 64  # blocks that are asked about at once
_TYPE = "application/vnd.ipld.car"


class _Count:
    """Blocks and bytes that passed."""

    def __init__(self) -> None:
        self.blocks = self.bytes = 0

    def of(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        for cid, block in pairs:
            self.blocks += 1
            self.bytes += len(block)
            yield cid, block


def import_dag(rpc: Rpc, root: Cid, dag: Dag, provide: Provide) -> Cid:
    """Send a whole DAG and have its root pinned in the same call.

    Returns:
        The root in the version in which it was pinned: the DAG's own, which may not be the key's.

    Raises:
        ContentMismatch: The DAG gave more or fewer bytes than its size; nothing was pinned.
        Refused, TierError: Nothing was pinned.
        Exception: What reading the DAG raised, unchanged; nothing was pinned.
    """
    count = _Count()
    pairs = iter(dag.pairs())
    named, first = _root_first(root, pairs)
    car = write_car((named,), count.of(_chained(first, pairs)))
    _upload(rpc, (named,), car, dag.size, count, provide)
    return named


def resume_dag(rpc: Rpc, root: Cid, dag: Dag, provide: Provide) -> Cid:
    """Send what a node lacks of a DAG and have its root pinned in the same call.

    The root block is always sent. Should the node collect a block after it was asked about, an online node
    searches for it when it pins (whatever ``offline`` says), until the tier's time is up: then it is not
    pinned, and the next put sends what is missing.

    Returns:
        As `import_dag`.

    Raises:
        Refused, TierError: Nothing was pinned.
        Exception: What reading the DAG raised, unchanged; nothing was pinned.
    """
    count = _Count()
    pairs = iter(dag.pairs())
    named, first = _root_first(root, pairs)
    with ThreadPoolExecutor(8, "ziggurat-ipfs-resume") as threads:

        def lacking() -> Iterator[Pair]:
            yield first
            while window := list(islice(pairs, _WINDOW)):
                held = threads.map(lambda pair: holds_block(rpc, pair[0]), window)
                yield from (pair for pair, here in zip(window, held, strict=True) if not here)

        _upload(rpc, (named,), write_car((named,), count.of(lacking())), None, count, provide)
    return named


def import_blocks(rpc: Rpc, dags: Mapping[Cid, Sequence[Pair]], provide: Provide) -> None:
    """Send the blocks of several small DAGs in one CAR; nothing is pinned.

    Args:
        rpc: The node.
        dags: Blocks of each by its root.
        provide: Whether to announce the roots.

    Raises:
        Refused, TierError: The node may have taken some blocks.
    """
    count = _Count()
    blocks = {cid: block for pairs in dags.values() for cid, block in pairs}
    size = len(car_header(dags)) + sum(car_section_size(cid, len(block)) for cid, block in blocks.items())
    _upload(rpc, (), write_car(dags, count.of(blocks.items())), size, count, provide)


def holds_block(rpc: Rpc, cid: Cid) -> bool:
    """True if the node has this one block; nothing is searched for.

    Raises:
        TierError: It could not tell.
    """
    try:
        rpc.call("block/stat", str(cid), offline="true")
    except Refused as refused:
        if NOT_HELD.search(refused.message):
            return False
        raise refusal(refused) from refused
    return True


def _root_first(root: Cid, pairs: Iterator[Pair]) -> tuple[Cid, Pair]:
    """The root in the version in which the DAG names it, and its pair."""
    first = next(pairs, None)
    if first is None or first[0] != root:
        raise ContentMismatch(f"the DAG of {root} does not begin with its root", cid=root)
    return first[0], first


def _chained(first: Pair, rest: Iterator[Pair]) -> Iterator[Pair]:
    yield first
    yield from rest


def _upload(
    rpc: Rpc,
    roots: Sequence[Cid],
    car: Iterable[bytes],
    size: int | None,
    count: _Count,
    provide: Provide,
) -> None:
    """Send a CAR and have `roots` pinned in the same call; without any, nothing is pinned."""
    head, tail, kind = multipart("dag.car", _TYPE)
    headers = {"Content-Type": kind}
    if size is None:
        headers["Transfer-Encoding"] = "chunked"
    else:
        headers["Content-Length"] = str(len(head) + size + len(tail))
    options = {"pin_roots": "true" if roots else "false", "stats": "true", **_provided(provide)}
    body = rpc.open("dag/import", options=options, upload=(_framed(head, car, tail, size), headers))
    try:
        _check(rpc, roots, body.rows(), count)
    finally:
        body.close()


def _provided(provide: Provide) -> dict[str, str]:
    if provide == "node":
        return {}
    if provide == "never":
        return {"fast_provide_root": "false", "offline": "true"}
    return {"fast_provide_root": "true", "fast_provide_wait": "true" if provide == "wait" else "false"}


def _framed(head: bytes, car: Iterable[bytes], tail: bytes, size: int | None) -> Iterator[bytes]:
    """The body: small pieces are joined, because each costs a packet and a call."""
    waiting = bytearray(head)
    sent = 0
    for piece in car:
        sent += len(piece)
        if size is not None and sent > size:
            raise ContentMismatch(f"a DAG of {size} bytes gave more than that")
        if len(piece) < _JOIN:
            waiting += piece
            if len(waiting) < _JOIN:
                continue
            piece, waiting = bytes(waiting), bytearray()
        elif waiting:
            yield bytes(waiting)
            waiting = bytearray()
        yield piece
    if size is not None and sent != size:
        # Before the end of the body is sent: the node drops what has no end.
        raise ContentMismatch(f"a DAG of {size} bytes gave only {sent}")
    yield bytes(waiting) + tail


def _check(rpc: Rpc, roots: Sequence[Cid], rows: Iterable[object], count: _Count) -> None:
    """Look at every line of the answer: a refusal to pin comes with the status 200."""
    told: dict[Cid, str] = {}
    stats: object = None
    for row in rows:
        if not isinstance(row, dict):
            continue
        root = row.get("Root")
        if isinstance(root, dict):
            told[_cid_in(root, rpc)] = str(root.get("PinErrorMsg") or "")
        stats = row.get("Stats") or stats
    totals = stats if isinstance(stats, dict) else {}
    for name, sent, unit in (
        ("BlockCount", count.blocks, "blocks"),
        ("BlockBytesCount", count.bytes, "bytes"),
    ):
        arrived = totals.get(name)
        if arrived is not None and arrived != sent:
            raise TierUnavailable(
                f"dag/import at {rpc} took {arrived} of {sent} {unit}: try again", retryable=True
            )
    for root in roots:
        if said := told.get(root, "the root was not pinned"):
            raise refusal(Refused(200, one_line(said), "dag/import", str(rpc)))


def _cid_in(root: dict[str, object], rpc: Rpc) -> Cid:
    named = root.get("Cid")
    text = named.get("/") if isinstance(named, dict) else None
    try:
        return Cid.parse(str(text))
    except ZigguratError as error:
        raise TierUnavailable(f"dag/import at {rpc} answered about no CID") from error
