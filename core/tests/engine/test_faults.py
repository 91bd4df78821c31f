"""A tier that is down, slow, failing or lying never fails a read that another tier can serve."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import PASS, Rig, Style, cache, dag, rig_type, source, store

from ziggurat import Cid, Store
from ziggurat.backend import Blob, ByteRange, Dag, Timeouts
from ziggurat.content import Profile
from ziggurat.errors import (
    BlobNotFound,
    CorruptBlob,
    StoreUnavailable,
    TierDenied,
    TierError,
    TierTimeout,
    TierUnavailable,
    ZigguratError,
)

from .conftest import SMALL

V0 = Profile(chunk_size=64, max_links=3, cid_version=0, raw_leaves=False)
DATA = random.Random(7).randbytes(64 * 10 + 17)  # eleven leaves under three levels of nodes
LEAVES = list(range(0, len(DATA), 64))

Make = Callable[..., Store]


def two(make: Make, profile: Profile = SMALL, **first: Any) -> tuple[Store, Rig, Rig, Cid]:
    """Two stores that both hold DATA; the first is read first."""
    a, b = Rig(**first), Rig()
    stack = make(store("a", a), store("b", b), min_copies=2, profile=profile)
    cid = stack.put(DATA).cid
    a.forget()
    b.forget()
    return stack, a, b, cid


def spoil(
    rig: Rig, how: Callable[[bytes], Any], only: Callable[[str], bool] = lambda key: "." not in key
) -> None:
    """Let every `get` of a plain key answer with what `how` makes of the ordinary bytes."""

    def on(op: str, key: str, byte_range: ByteRange | None) -> Any:
        if op != "get" or not only(key) or key not in rig.held:
            return PASS
        data = rig.held[key]
        return how(data if byte_range is None else data[byte_range.offset : byte_range.stop])

    rig.on = on


def pour(pieces: Iterable[bytes | bytearray | memoryview], into: bytearray) -> None:
    for piece in pieces:
        into += piece


def readings(stack: Store, cid: Cid) -> Iterator[bytes]:
    """The same bytes in every way there is."""
    yield stack.get(cid)
    yield stack.get(cid, 0, 100) + stack.get(cid, 100)
    yield b"".join(stack.stream(cid))
    with stack.open(cid) as file:
        yield file.read()
    target = io.BytesIO()
    stack.export_car(cid, target)
    yield DATA


# -- one lying tier, every leaf, every form of answer ----------------------------------------------


@pytest.mark.parametrize("style", ["bytes", "chunks", "pread"])
@pytest.mark.parametrize("profile", [SMALL, V0], ids=["raw", "v0"])
def test_a_wrong_byte_in_any_leaf(make: Make, style: Style, profile: Profile) -> None:
    stack, a, _, cid = two(make, profile, style=style)
    for leaf in LEAVES:
        a.flip(cid.key, leaf + 3)
        for got in readings(stack, cid):
            assert got == DATA
        a.flip(cid.key, leaf + 3)


def test_the_next_tier_continues_from_the_last_proved_byte(make: Make) -> None:
    stack, a, b, cid = two(make)
    a.flip(cid.key, LEAVES[6])
    assert stack.get(cid) == DATA
    assert (str(cid.key), ByteRange(LEAVES[6], len(DATA) - LEAVES[6])) in b.reads()
    assert b.bytes_given < len(DATA)


def test_each_tier_has_what_the_other_lacks(make: Make) -> None:
    """Wrong bytes here and there on both: no tier can serve all, every byte is on one."""
    stack, a, b, cid = two(make)
    for leaf in (1, 4, 9):
        a.flip(cid.key, LEAVES[leaf])
    for leaf in (2, 5, 10):
        b.flip(cid.key, LEAVES[leaf])
    for got in readings(stack, cid):
        assert got == DATA


@pytest.mark.parametrize(
    "how",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"",
        lambda data: Blob(len(data), lambda: (data[: len(data) // 2],)),
        lambda data: Blob(len(data), lambda: ()),
        lambda data: Blob(len(data), lambda: (data, b"more")),
        lambda data: Blob(len(data) - 1, lambda: (data,)),
        lambda data: Blob(1 << 62, lambda: (data,)),
        lambda data: Blob(len(data), lambda: (data,), pread=lambda view, offset: 0),
        lambda data: Blob(len(data), lambda: (data,), pread=lambda view, offset: None),  # type: ignore[arg-type, return-value]  # wrong on purpose
        lambda data: Blob(len(data), lambda: (data,), pread=lambda view, offset: len(view) + 1),
        lambda data: Blob(len(data), lambda: ("text",)),  # type: ignore[arg-type, return-value]  # wrong on purpose
        lambda data: Blob(len(data), lambda: (b"", data[:10], b"", b"", data[10:], b"")),
        lambda data: "text",
        lambda data: 5,
        lambda data: Dag(lambda: ()),
        lambda data: None,
    ],
)
def test_bodies_of_every_wrong_kind(make: Make, how: Callable[[bytes], Any]) -> None:
    stack, a, _, cid = two(make)
    spoil(a, how)
    for got in readings(stack, cid):
        assert got == DATA


def raising(data: bytes, at: int, error: Exception, pread: bool = False) -> Blob:
    def chunks() -> Iterator[bytes]:
        yield data[:at]
        raise error

    def read_at(view: memoryview, offset: int) -> int:
        if offset + len(view) > at:
            raise error
        view[:] = data[offset : offset + len(view)]
        return len(view)

    return Blob(len(data), chunks, pread=read_at if pread else None)


@pytest.mark.parametrize("pread", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        TierUnavailable("broke off", retryable=True),
        TierDenied("denied"),
        TierTimeout("slow", retryable=True),
        BlobNotFound("gone"),
        ValueError("a bug"),
        StopIteration(),
        RuntimeError("a bug"),
    ],
)
def test_a_body_that_raises_at_every_leaf(make: Make, error: Exception, pread: bool) -> None:
    stack, a, _, cid = two(make)
    for leaf in LEAVES:
        for at in (leaf, leaf + 30):
            spoil(a, partial(raising, at=at, error=error, pread=pread))
            assert stack.get(cid) == DATA
            assert b"".join(stack.stream(cid)) == DATA


@pytest.mark.parametrize("op", ["get", "has", "stat", "identify", "*"])
@pytest.mark.parametrize(
    "error",
    [TierUnavailable("down"), ValueError("bug"), BlobNotFound("gone"), OSError(5, "io"), MemoryError()],
)
def test_a_hook_that_raises(make: Make, op: str, error: Exception) -> None:
    stack, a, _, cid = two(make)

    def on(asked: str, key: str, byte_range: Any) -> Any:
        if op in (asked, "*"):
            raise error
        return PASS

    a.on = on
    for got in readings(stack, cid):
        assert got == DATA
    assert stack.has(cid)


@pytest.mark.parametrize("what", ["nodes", "plain", "both"])
def test_keys_that_are_gone(make: Make, what: str) -> None:
    stack, a, _, cid = two(make)
    if what != "plain":
        del a.held[cid.nodes_key]
    if what != "nodes":
        del a.held[cid.key]
    for got in readings(stack, cid):
        assert got == DATA
    assert stack.has(cid)


@pytest.mark.parametrize("profile", [SMALL, V0], ids=["raw", "v0"])
def test_nodes_of_every_wrong_kind(make: Make, profile: Profile) -> None:
    stack, a, b, cid = two(make, profile)
    other = stack.put(DATA[::-1]).cid
    good = a.held[cid.nodes_key]
    bad = [
        b"",
        b"x",
        good[:-1],
        good[:100],
        good + b"\x01",
        a.held[other.nodes_key],
        good[:59],
        bytes(len(good)),
    ]
    bad += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 37)]
    for nodes in bad:
        for repair in (False, True):
            a.held[cid.nodes_key] = nodes
            fresh = make(store("a", a), store("b", b))
            if not repair:
                # What is there cannot be used to build the nodes again either.
                spoil(a, lambda data: bytes(len(data)))
            assert fresh.get(cid) == DATA
            assert b"".join(fresh.stream(cid)) == DATA
            a.on = None
            fresh.close()
    assert stack.get(cid) == DATA


def test_the_tree_one_tier_tells_is_not_what_the_next_is_measured_by(make: Make) -> None:
    """A foreign tree cannot be built again; a CAR that lacks a node must not spoil the next tier's turn."""
    a, b = Rig(), Rig()
    odd = Profile(chunk_size=50, max_links=2)
    writer = make(store("a", a), store("b", b), min_copies=2, profile=odd)
    cid = writer.put(DATA).cid
    car = a.held[cid.nodes_key]
    # Drop the last section: an inner node is missing and looks like a leaf.
    from ziggurat.content import read_car
    from ziggurat.content.car import write_car

    pairs = list(read_car((car,)))
    for drop in range(1, len(pairs)):
        a.held[cid.nodes_key] = b"".join(write_car([cid], pairs[:drop] + pairs[drop + 1 :]))
        stack = make(store("a", a, catalog="another"), store("b", b, catalog="another"))
        assert stack.get(cid) == DATA
        assert stack.get(cid, 333, 44) == DATA[333:377]
        assert b"".join(stack.stream(cid)) == DATA
        stack.close()


def test_a_huge_leaf_is_not_believed(make: Make) -> None:
    """A missing node beneath which terabytes are said to be must not make the reader ask for them."""
    from ziggurat.content import RAW
    from ziggurat.content.car import write_car
    from ziggurat.content.dagpb import Link, encode_node
    from ziggurat.content.unixfs import inner_data
    from ziggurat.content.varint import encode_varint

    size = 1 << 45
    leaf = Cid.of(b"no such block", RAW)
    node = encode_node([Link(leaf, b"", size)], inner_data(size, b"\x20" + encode_varint(size)))
    root = Cid.of(node, 0x70)
    rig = Rig()
    rig.held[root.nodes_key] = b"".join(write_car([root], [(root, node)]))
    rig.held[root.key] = b"x"
    stack = make(store("a", rig))
    with pytest.raises(StoreUnavailable):
        stack.get(root, 5, 5)
    with pytest.raises(StoreUnavailable):
        next(stack.stream(root))
    with pytest.raises(ZigguratError):
        stack.get(root)
    assert all(byte_range is None or byte_range.length < 1 << 30 for _, byte_range in rig.reads())


# -- errors come at their position ------------------------------------------------------------------


@pytest.mark.parametrize("style", ["bytes", "chunks", "pread"])
def test_a_stream_gives_all_that_proves_before_its_error(make: Make, style: Style) -> None:
    rig = Rig(style=style)
    stack = make(store("a", rig))
    cid = stack.put(DATA).cid
    for leaf in LEAVES:
        rig.flip(cid.key, leaf)
        got = bytearray()
        with pytest.raises(StoreUnavailable) as caught:
            pour(stack.stream(cid), got)
        assert bytes(got) == DATA[:leaf]
        assert any(isinstance(failure, CorruptBlob) for failure in caught.value.failures)
        with pytest.raises(StoreUnavailable):
            stack.get(cid)
        assert stack.get(cid, 0, leaf) == DATA[:leaf]
        assert stack.get(cid, leaf + 64) == DATA[leaf + 64 :] if leaf + 64 <= len(DATA) else True
        rig.flip(cid.key, leaf)


def test_a_file_object_gives_all_that_proves_before_its_error(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    cid = stack.put(DATA).cid
    for leaf in LEAVES:
        rig.flip(cid.key, leaf)
        with stack.open(cid) as file:
            got = bytearray()
            with pytest.raises(StoreUnavailable):
                pour(iter(lambda: file.read(1), b""), got)
            assert bytes(got) == DATA[:leaf]
            assert file.tell() == leaf
            if leaf + 64 < len(DATA):
                assert file.seek(leaf + 64) == leaf + 64
                assert file.read() == DATA[leaf + 64 :]
        rig.flip(cid.key, leaf)


# -- retry of bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize("pread", [False, True])
def test_a_body_that_breaks_off_is_resumed_where_it_broke(make: Make, pread: bool) -> None:
    from ziggurat.config.model import Retry

    rig = Rig()
    stack = make(store("a", rig, retry=Retry(attempts=3, max_wait=0.01)))
    cid = stack.put(DATA).cid
    left = 2

    def on(op: str, key: str, byte_range: ByteRange | None) -> Any:
        nonlocal left
        if op != "get" or "." in key or not left:
            return PASS
        left -= 1
        data = rig.held[key]
        part = data if byte_range is None else data[byte_range.offset : byte_range.stop]
        return raising(part, 30 if left else 140, TierUnavailable("broke off", retryable=True), pread)

    rig.on = on
    rig.forget()
    assert stack.get(cid) == DATA
    assert left == 0
    assert [byte_range for key, byte_range in rig.reads() if key == cid.key] == [
        None,
        None,
        ByteRange(128, len(DATA) - 128),
    ]


def test_a_body_that_always_breaks_off_ends(make: Make) -> None:
    from ziggurat.config.model import Retry

    rig = Rig()
    stack = make(store("a", rig, retry=Retry(attempts=3, max_wait=0.01)))
    cid = stack.put(DATA).cid
    spoil(rig, lambda data: raising(data, 30, TierUnavailable("broke off", retryable=True)))
    rig.forget()
    with pytest.raises(StoreUnavailable):
        stack.get(cid)
    assert rig.count("get", str(cid.key)) == 3


# -- proof and memory -------------------------------------------------------------------------------


def test_a_slow_thread_of_a_tier_that_lied_writes_nowhere(make: Make) -> None:
    """Leaves are proved in place by several threads: none may write after the next tier proved its bytes."""
    data = random.Random(3).randbytes(6 << 20)
    a, b = Rig(), Rig()
    stack = make(store("a", a), store("b", b), min_copies=2, profile="unixfs-v1-2025")
    cid = stack.put(data).cid

    def lying(held: bytes) -> Blob:
        def pread(view: memoryview, offset: int) -> int:
            if offset:
                time.sleep(0.15)
            view[:] = bytes(len(view))
            return len(view)

        return Blob(len(held), lambda: (held,), pread=pread)

    spoil(a, lying)
    assert stack.get(cid) == data
    time.sleep(0.3)
    got = stack.get(cid)
    time.sleep(0.3)
    assert got == data


def test_pieces_of_a_stream_cannot_be_written_to(make: Make) -> None:
    stack = make(store("a"))
    cid = stack.put(bytes(64 * 9)).cid
    for piece in stack.stream(cid):
        assert isinstance(piece, bytes) or memoryview(piece).readonly


# -- dag form ---------------------------------------------------------------------------------------


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


# -- caches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["get", "put", "evict", "stat", "*"])
@pytest.mark.parametrize("error", [TierUnavailable("down"), ValueError("bug"), TypeError("bug")])
def test_a_failing_cache_fails_nothing(make: Make, op: str, error: Exception) -> None:
    ram, rig = Rig(), Rig()
    stack = make(cache("ram", ram, capacity=300), store("a", rig))
    cids = [stack.put(DATA[at:]).cid for at in range(4)]
    for cid in cids:
        stack.get(cid)

    def on(asked: str, key: str, byte_range: Any) -> Any:
        if op in (asked, "*"):
            raise error
        return PASS

    ram.on = on
    results: list[list[bytes]] = []

    def read() -> None:
        results.append([stack.get(cid) for cid in cids])

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [[DATA[at:] for at in range(4)]] * 3
    assert stack.failures() or op == "stat"  # which only a victim that will not go is asked


@pytest.mark.parametrize("answer", [b"", b"wrong", "text", 5, Blob(3, lambda: (b"no",)), Dag(lambda: ())])
def test_a_cache_that_lies_is_proved_and_dropped(make: Make, answer: Any) -> None:
    cold, rig = Rig(), Rig()
    stack = make(cache("ssd", cold, kind=rig_type(durable=False)), store("a", rig))
    cid = stack.put(DATA).cid
    assert stack.get(cid) == DATA
    stack._parts.filler.drain()
    assert cold.held
    cold.on = lambda op, key, byte_range: answer if op == "get" else PASS
    assert stack.get(cid) == DATA
    cold.on = None
    stack._parts.filler.drain()
    leaves = [key for key in cold.held if not key.endswith(".block")]  # the nodes are known already
    for key in leaves:
        cold.held[key] = b"flipped"
    assert len(leaves) == len(LEAVES)
    assert stack.get(cid) == DATA
    stack._parts.filler.drain()
    assert b"flipped" not in cold.held.values()


def test_blocks_go_to_the_caches_above_the_tier_that_gave_them(make: Make) -> None:
    hot, cold, near, far = Rig(), Rig(), Rig(), Rig()
    stack = make(cache("hot", hot), store("near", near), cache("cold", cold), store("far", far), min_copies=2)
    cid = stack.put(DATA).cid
    assert stack.get(cid) == DATA
    assert hot.held
    assert not cold.held, "the store above this cache is faster than the cache"
    hot.held.clear()
    near.held.clear()
    assert stack.get(cid) == DATA
    assert hot.held.keys() == cold.held.keys()


def test_a_hit_path_cache_that_gives_a_blob_or_raises(make: Make) -> None:
    ram, rig = Rig(style="chunks"), Rig()
    stack = make(cache("ram", ram), store("a", rig))
    cid = stack.put(b"small").cid
    assert stack.get(cid) == b"small"
    assert isinstance(stack.get(cid), bytes)
    ram.on = lambda op, key, byte_range: 1 / 0
    assert stack.get(cid) == b"small"


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
