"""A tier that is down, slow, failing or lying never fails a read that another tier can serve."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.support.rigged import PASS, Rig, Style, store

from ziggurat import Cid
from ziggurat.backend import Blob, ByteRange, Dag
from ziggurat.content import Profile
from ziggurat.errors import (
    BlobNotFound,
    CorruptBlob,
    StoreUnavailable,
    TierDenied,
    TierTimeout,
    TierUnavailable,
    ZigguratError,
)

from .conftest import SMALL
from .lying import DATA, LEAVES, V0, Make, pour, raising, readings, spoil, two

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
