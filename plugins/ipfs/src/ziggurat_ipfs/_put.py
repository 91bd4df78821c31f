"""Puts: what is pinned already is acknowledged, the rest is imported and named."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import islice
from typing import TypeVar

from ziggurat.backend import Stat
from ziggurat.content import Cid, Dag
from ziggurat.errors import TierError, ZigguratError
from ziggurat_ipfs._claims import Claims
from ziggurat_ipfs._errors import NOT_HELD, Refused, refusal
from ziggurat_ipfs._import import Pair, holds_block, import_blocks, import_dag, resume_dag
from ziggurat_ipfs._options import Provide
from ziggurat_ipfs._pins import Pin, list_roots, pins_named, pins_of, root_of, versions
from ziggurat_ipfs._rpc import Rpc

__all__ = ["put_dag", "put_small"]

Failure = TypeVar("Failure", bound=ZigguratError)

_SMALL = 1 << 20  # bytes of a CAR up to which a DAG travels with others
_LOAD = 16 << 20  # bytes of the CAR in which they travel
_ROOTS = 1000  # and how many of them
_LIST_FROM = 16  # items from which all pins are listed instead of asking for each
_LIST_MOST = 30  # pins for each item, after which listing costs more than asking


def put_dag(rpc: Rpc, cid: Cid, dag: Dag, claims: Claims, provide: Provide) -> None:
    """Import and pin one DAG, unless it is pinned.

    An import of an existing pin would erase its name, so the pin is asked for first. A root block that is
    there without a pin is what a broken import leaves behind: then only what is missing is sent.

    Raises:
        Refused, TierError: It is not pinned.
        Exception: What reading the DAG raised, unchanged; it is not pinned.
    """
    if pins := pins_of(rpc, cid):
        claims.take(rpc, pins)
        return
    broken = (dag.size or 0) > _SMALL and holds_block(rpc, cid)
    pinned = resume_dag(rpc, cid, dag, provide) if broken else import_dag(rpc, cid, dag, provide)
    claims.name(rpc, [pinned])


def put_small(
    rpc: Rpc, dags: Sequence[tuple[Cid, Dag]], claims: Claims, provide: Provide
) -> list[Stat | ZigguratError]:
    """Import and pin several DAGs, the small ones together.

    What travels together is pinned after its import: a collection in between makes the pin fail, and then
    each is put alone.

    Returns:
        For each its `Stat`, or why it is not pinned.

    Raises:
        Refused, TierError: Nothing is known of any.
    """
    answers: dict[int, Stat | ZigguratError] = {}
    pinned = _pinned_among(rpc, [cid for cid, _ in dags])
    load: dict[int, tuple[Cid, list[Pair]]] = {}
    weight = 0
    for place, (cid, dag) in enumerate(dags):
        stat = Stat(stored=dag.size)
        try:
            if cid in pinned:
                claims.take(rpc, pinned[cid])
                answers[place] = stat
            elif dag.size is None or dag.size > _SMALL:
                put_dag(rpc, cid, dag, claims, provide)
                answers[place] = stat
            else:
                if load and (weight + dag.size > _LOAD or len(load) >= _ROOTS):
                    answers.update(_send(rpc, load, dags, claims, provide))
                    load, weight = {}, 0
                load[place] = cid, list(dag.pairs())
                weight += dag.size
        except (Refused, ZigguratError) as error:
            answers[place] = _told(error)
    if load:
        answers.update(_send(rpc, load, dags, claims, provide))
    return [answers[place] for place in range(len(dags))]


def _told(error: Refused | Failure) -> TierError | Failure:
    return refusal(error) if isinstance(error, Refused) else error


def _pinned_among(rpc: Rpc, cids: Sequence[Cid]) -> dict[Cid, list[Pin]]:
    """The pins of those roots that have some."""
    wanted = {text: cid for cid in cids for text in versions(cid)}
    roots = set(cids)
    if len(roots) >= _LIST_FROM:
        most = _LIST_MOST * len(roots)
        texts = list_roots(rpc)
        here = [text for text in islice(texts, most) if _canonical(text) in wanted]
        if next(texts, None) is None:
            found: dict[Cid, list[Pin]] = {}
            for pin in pins_named(rpc, here):
                found.setdefault(wanted[_canonical(pin.cid)], []).append(pin)
            return found
        texts.close()
    return {cid: held for cid in roots if (held := pins_of(rpc, cid))}


def _canonical(text: str) -> str:
    """A root's text as `versions` writes it: hardly any is read, because that costs more than its listing."""
    if text.startswith(("b", "Qm")):
        return text
    root = root_of(Pin(text))
    return text if root is None else versions(root)[0]


def _send(
    rpc: Rpc,
    load: dict[int, tuple[Cid, list[Pair]]],
    dags: Sequence[tuple[Cid, Dag]],
    claims: Claims,
    provide: Provide,
) -> dict[int, Stat | ZigguratError]:
    roots = {pairs[0][0] if pairs else cid: pairs for cid, pairs in load.values()}
    try:
        # Each pin costs the node a sync: pinned by the import they would cost another one for the name.
        import_blocks(rpc, roots, provide)
        claims.name(rpc, list(roots))
    except (Refused, TierError) as error:
        told = _told(error)
        if told.retryable and not _collected(error):
            return {place: copy(told) for place in load}
        if len(load) == 1:
            return {place: copy(told) for place in load}
    else:
        return {place: Stat(stored=dags[place][1].size) for place in load}
    answers: dict[int, Stat | ZigguratError] = {}
    for place, one in load.items():  # each alone: one of them may have spoiled it for all
        try:
            pins = pins_of(rpc, one[0])
            if pins:
                claims.take(rpc, pins)
                answers[place] = Stat(stored=dags[place][1].size)
            else:
                answers |= _send(rpc, {place: one}, dags, claims, provide)
        except (Refused, TierError) as error:
            answers[place] = _told(error)
    return answers


def _collected(error: Refused | TierError) -> bool:
    """Whether a block was not there when it was to be pinned: never sent, or collected since."""
    return isinstance(error, Refused) and NOT_HELD.search(error.message) is not None
