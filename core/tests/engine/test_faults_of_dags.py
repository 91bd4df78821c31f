"""A tier of the dag form that lies or lost a block fails no read that another tier can serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, dag, store

from ziggurat import Cid
from ziggurat.backend import Dag
from ziggurat.content import Profile
from ziggurat.errors import (
    BlobNotFound,
)

from .conftest import SMALL
from .lying import DATA, V0, Make, readings


def lying_dag(medium: DagMedium, change: Callable[[list[tuple[Cid, bytes]]], Any], tier: Any) -> Any:
    ordinary = tier._get

    def get(key: str, byte_range: Any, note: Any) -> Any:
        found = ordinary(key, byte_range, note)
        return Dag(lambda: iter(change(list(found.pairs())))) if isinstance(found, Dag) else found

    tier._get = get
    return tier


@pytest.mark.parametrize(
    "change",
    [
        lambda pairs: [],
        lambda pairs: pairs[1:],
        lambda pairs: pairs[::-1],
        lambda pairs: pairs + pairs,
        lambda pairs: pairs[::2],
        lambda pairs: pairs[:1],
        lambda pairs: [(Cid.of(b"extra", 0x55), b"extra"), *pairs],
        lambda pairs: [(pairs[0][0], pairs[1][1]), *pairs[1:]],
        lambda pairs: [*pairs[:5], (pairs[5][0], b"wrong"), *pairs[6:]],
        lambda pairs: [*pairs[:5], ("text", b"wrong"), *pairs[6:]],
        lambda pairs: [*pairs[:5], 7],
        lambda pairs: [(Cid.of(b"", 0x55), bytes((2 << 20) + 1))],
    ],
)
@pytest.mark.parametrize("profile", [SMALL, V0], ids=["raw", "v0"])
def test_pairs_of_every_wrong_kind(make: Make, change: Any, profile: Profile) -> None:
    medium, b = DagMedium(), Rig()
    first = lying_dag(medium, change, dag("d", medium))
    stack = make(first, store("b", b), min_copies=2, profile=profile)
    cid = stack.put(DATA).cid
    for got in readings(stack, cid):
        assert got == DATA


def test_missing_pairs_are_asked_one_by_one(make: Make) -> None:
    medium = DagMedium()
    stack = make(lying_dag(medium, lambda pairs: pairs[::3], dag("d", medium)))
    cid = stack.put(DATA).cid
    medium.asked.clear()
    assert stack.get(cid) == DATA
    asked = [key for op, key in medium.asked if op == "get" and key != cid.key]
    assert asked
    assert len(asked) == len(set(asked))
    total = len(medium.roots[cid][0])
    assert len(asked) == total - len(range(0, total, 3))


def test_a_dag_tier_that_lost_a_block(make: Make) -> None:
    medium, b = DagMedium(), Rig()
    stack = make(dag("d", medium), store("b", b), min_copies=2)
    cid = stack.put(DATA).cid
    for lost in medium.roots[cid][0]:
        block = medium.blocks.pop(lost)
        for got in readings(stack, cid):
            assert got == DATA
        medium.blocks[lost] = block[:-1] + bytes([block[-1] ^ 1])
        for got in readings(stack, cid):
            assert got == DATA
        medium.blocks[lost] = block


def test_a_lost_block_is_named(make: Make) -> None:
    medium = DagMedium()
    stack = make(dag("d", medium))
    cid = stack.put(DATA).cid
    lost = medium.roots[cid][0][4]
    del medium.blocks[lost]
    with pytest.raises(BlobNotFound, match=str(lost)):
        stack.get(cid)
