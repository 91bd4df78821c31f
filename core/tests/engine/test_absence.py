""" "Not there" and "could not tell" are different answers; and a tier is not waited for too long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import PASS, Rig, dag, rig_type, source, store

from ziggurat import Cid
from ziggurat.backend import Blob, Timeouts
from ziggurat.errors import (
    BlobNotFound,
    StoreUnavailable,
    TierError,
    TierUnavailable,
)

from .lying import DATA, Make, raising, readings, spoil

# -- sources and absence ----------------------------------------------------------------------------


def test_absence_and_not_knowing_are_different_answers(make: Make) -> None:
    a, b = Rig(), Rig()
    stack = make(store("a", a), source("b", b))
    nowhere = Cid.of(b"nowhere", 0x55)
    with pytest.raises(BlobNotFound):
        stack.get(nowhere)
    assert not stack.has(nowhere)
    b.down = True
    with pytest.raises(StoreUnavailable) as caught:
        stack.get(nowhere)
    assert [type(failure) for failure in caught.value.failures] == [TierUnavailable]
    with pytest.raises(StoreUnavailable):
        stack.has(nowhere)


def test_not_there_is_remembered_for_remote_tiers_only(make: Make) -> None:
    near, far = Rig(), Rig()
    stack = make(
        store("near", near), source("far", far, kind=rig_type(read_only=True, local=False, durable=False))
    )
    nowhere = Cid.of(b"nowhere", 0x55)
    for _ in range(3):
        with pytest.raises(BlobNotFound):
            stack.get(nowhere)
    assert near.count("get") == 3
    assert far.count("get") == 1
    assert stack.put(b"nowhere").cid == nowhere
    assert stack.get(nowhere) == b"nowhere"


def test_not_there_is_remembered_for_a_single_remote_store(make: Make) -> None:
    far = Rig()
    stack = make(store("far", far, kind=rig_type(local=False)))
    nowhere = Cid.of(b"nowhere", 0x55)
    for _ in range(3):
        with pytest.raises(BlobNotFound):
            stack.get(nowhere)
    assert far.count("get") == 1
    stack.put(b"nowhere")
    assert stack.get(nowhere) == b"nowhere"
    # Against a catalogued copy nothing is remembered.
    kept = far.held.pop(str(nowhere.key))
    with pytest.raises(BlobNotFound):
        stack.get(nowhere)
    far.held[str(nowhere.key)] = kept
    assert stack.get(nowhere) == b"nowhere"


def test_a_missing_block_does_not_make_its_blob_absent(make: Make) -> None:
    medium = DagMedium()
    writer = make(dag("d", medium))
    cid = writer.put(DATA).cid
    kind = rig_dag_source()
    stack = make(dag("gateway", medium, role="source", kind=kind))
    leaf = medium.roots[cid][0][-1]
    block = medium.blocks.pop(leaf)
    with pytest.raises(BlobNotFound):
        stack.get(cid)
    assert stack.get(cid, 0, 64) == DATA[:64]
    medium.blocks[leaf] = block
    assert stack.get(cid) == DATA


def rig_dag_source() -> Any:
    from attrs import evolve
    from tests.support.dag_backend import backend

    return evolve(backend, capabilities=evolve(backend.capabilities, local=False, durable=False))


def test_the_last_tier_gets_its_turn_however_many_fail(make: Make) -> None:
    rigs = [Rig() for _ in range(6)]
    stack = make(*(store(f"t{i}", rig) for i, rig in enumerate(rigs)), min_copies=6)
    cid = stack.put(DATA).cid
    rigs[0].down = True
    rigs[1].held.clear()
    rigs[2].flip(cid.key)
    rigs[3].flip(cid.nodes_key, 70)
    spoil(rigs[3], lambda data: bytes(len(data)))
    spoil(rigs[4], lambda data: raising(data, 100, ValueError("bug")))
    for got in readings(stack, cid):
        assert got == DATA
    assert {failure.tier for failure in stack.failures() if isinstance(failure, TierError)} >= {
        "t0",
        "t2",
        "t4",
    }


# -- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["call", "body", "pread"])
def test_a_tier_that_hangs_is_left_for_the_next(make: Make, where: str) -> None:
    gate = threading.Event()
    a, b = Rig(), Rig()
    cid = make(store("a", a), store("b", b), min_copies=2).put(DATA).cid
    stack = make(store("a", a, timeouts=Timeouts(total=0.1)), store("b", b))

    def chunks(data: bytes) -> Iterator[bytes]:
        yield data[:100]
        gate.wait()

    def hang(data: bytes) -> Blob:
        if where == "call":
            gate.wait()
        pread = (lambda view, offset: int(gate.wait())) if where == "pread" else None
        return Blob(len(data), lambda: chunks(data), pread=pread)

    spoil(a, hang)
    try:  # the gate stays closed: who waits for the tier waits for ever
        assert stack.get(cid) == DATA
        assert b"".join(stack.stream(cid)) == DATA
    finally:
        gate.set()


def test_a_tier_that_rests_is_passed_over_at_once(make: Make) -> None:
    a, b = Rig(), Rig()
    stack = make(store("a", a, breaker=2), store("b", b), min_copies=2)
    cid = stack.put(DATA).cid
    a.forget()
    a.on = lambda op, key, byte_range: _down(op)
    for _ in range(6):
        assert stack.get(cid) == DATA
    assert a.count("get") == 2
    assert next(one for one in stack.stats().tiers if one.tier == "a").state == "resting"
    a.on = None
    assert stack.get(cid, 0, 10) == DATA[:10]


def _down(op: str) -> Any:
    if op == "get":
        raise TierUnavailable("down")
    return PASS
