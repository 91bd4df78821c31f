"""Concurrent readers: one fetch of a block while it is in flight or cached; no one waits for ever."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import PASS, Rig, cache, dag, rig_type, store

from ziggurat import Cid, Store
from ziggurat.content import RAW
from ziggurat.engine.flights import Flight, Flights
from ziggurat.errors import BlobNotFound, StoreUnavailable, TierUnavailable

Make = Callable[..., Store]


def together(count: int, work: Callable[[int], Any], seconds: float = 60) -> list[Any]:
    """Results, or errors, of so many threads that start at once."""
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait(30)
        try:
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001 - it is the result
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "readers wait for ever"
    return results


@pytest.fixture(scope="module")
def large() -> bytes:
    return random.Random(5).randbytes(64 << 20)


@pytest.mark.parametrize("way", ["get", "stream"])
def test_64_threads_read_one_cold_blob_and_each_block_is_fetched_once(
    make: Make, large: bytes, way: str
) -> None:
    rig = Rig(style="pread")
    stack = make(cache("ram", capacity=80 << 20), store("a", rig), profile="unixfs-v1-2025")
    cid = stack.put(large).cid
    rig.forget()

    def read(number: int) -> bool:
        if way == "get" and number % 16 == 0:
            return stack.get(cid) == large
        at = 0
        for piece in stack.stream(cid):
            if large[at : at + len(piece)] != piece:
                return False
            at += len(piece)
        return at == len(large)

    assert together(64, read) == [True] * 64
    nodes = len(rig.held[cid.nodes_key])
    assert rig.bytes_given == len(large) + nodes


def test_64_threads_read_one_cold_blob_of_a_dag_store(make: Make) -> None:
    data = random.Random(6).randbytes(4 << 20)
    medium = DagMedium()
    stack = make(cache("ram", capacity=8 << 20), dag("d", medium), profile="unixfs-v1-2025")
    cid = stack.put(data).cid
    medium.asked.clear()
    assert together(64, lambda number: stack.get(cid) == data) == [True] * 64
    asked = Counter(key for op, key in medium.asked if op == "get")
    assert asked[cid.key] == 1
    assert all(count == 1 for count in asked.values())
    assert len(asked) == 1, "what came with the stream was asked for again"


def test_with_a_persistent_cache_a_waiting_block_is_a_hit(make: Make) -> None:
    data = random.Random(6).randbytes(8 << 20)
    rig = Rig()
    stack = make(
        cache("ssd", capacity=16 << 20, kind=rig_type(durable=False)),
        store("a", rig),
        profile="unixfs-v1-2025",
    )
    cid = stack.put(data).cid
    rig.forget()
    assert together(16, lambda number: b"".join(stack.stream(cid)) == data) == [True] * 16
    assert rig.bytes_given == len(data) + len(rig.held[cid.nodes_key])


def test_hits_count_alike_whether_a_block_waits_or_is_there(make: Make) -> None:
    stack = make(
        cache("ssd", capacity=1 << 20, kind=rig_type(durable=False)), store("a"), profile="unixfs-v1-2025"
    )
    cid = stack.put(b"x" * 500).cid
    for _ in range(10):
        stack.get(cid)
    stack._stack().filler.drain()
    stack.get(cid)
    ssd = stack.stats().tiers[0]
    assert (ssd.hits, ssd.misses, ssd.bytes_read) == (10, 1, 5000)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Waits until so many readers wait for flights of others."""
    waiting = threading.Semaphore(0)
    wait = Flight.wait

    def counted(flight: Flight) -> None:
        waiting.release()
        wait(flight)

    def enough(count: int) -> None:
        for _ in range(count):
            assert waiting.acquire(timeout=60)

    monkeypatch.setattr(Flight, "wait", counted)
    return enough


def test_readers_of_one_missing_blob_share_the_answer(make: Make, joined: Callable[[int], None]) -> None:
    """A tier that takes its time to say no is asked once, not once for each of 32 readers."""
    rig = Rig()
    stack = make(store("a", rig))
    nowhere = Cid.of(b"nowhere", RAW)

    def on(op: str, key: str, byte_range: Any) -> Any:
        if op == "get":
            joined(31)
        return PASS

    rig.on = on
    results = together(32, lambda number: stack.get(nowhere))
    assert all(isinstance(result, BlobNotFound) for result in results)
    assert rig.count("get") == 1
    assert len({id(result) for result in results}) == 32, "an error is raised in one thread only"


def test_readers_of_a_blob_on_a_tier_that_is_down_share_the_failure(
    make: Make, joined: Callable[[int], None]
) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    cid = stack.put(b"x" * 50).cid
    stack.get(cid)
    rig.forget()

    def on(op: str, key: str, byte_range: Any) -> Any:
        joined(31)
        raise TierUnavailable("down")

    rig.on = on
    results = together(32, lambda number: stack.get(cid))
    assert all(isinstance(result, StoreUnavailable) and result.failures for result in results)
    assert rig.count("get") == 1


def test_a_failure_of_another_blob_is_not_shared(make: Make) -> None:
    """Two blobs share a leaf; that one of them is on no tier says nothing about the other."""
    leaf = random.Random(1).randbytes(64)
    rig = Rig()
    stack = make(store("a", rig))
    whole = stack.put(leaf + b"a" * 64).cid
    torn = stack.put(leaf + b"b" * 64).cid
    del rig.held[torn.key]

    def on(op: str, key: str, byte_range: Any) -> Any:
        if op == "get" and "." not in key:
            time.sleep(0.02)
        return PASS

    rig.on = on
    for _ in range(3):
        results = together(16, lambda number: stack.get(torn if number % 2 else whole, 0, 64))
        assert all(
            isinstance(result, BlobNotFound) for result in results[1::2] if not isinstance(result, bytes)
        )
        assert results[::2] == [leaf] * 8


def test_a_failure_further_on_is_not_shared(make: Make) -> None:
    """One reader fails at an early leaf; another that wants a later one only must get it."""
    data = random.Random(2).randbytes(64 * 8)
    rig = Rig()
    stack = make(store("a", rig))
    cid = stack.put(data).cid
    rig.flip(cid.key, 64)

    def on(op: str, key: str, byte_range: Any) -> Any:
        if op == "get" and "." not in key:
            time.sleep(0.02)
        return PASS

    rig.on = on
    for _ in range(3):
        results = together(16, lambda number: stack.get(cid) if number % 2 else stack.get(cid, 256, 100))
        assert results[::2] == [data[256:356]] * 8
        assert all(isinstance(result, StoreUnavailable) for result in results[1::2])


def test_readers_in_opposite_directions_do_not_wait_in_a_circle(make: Make) -> None:
    data = random.Random(3).randbytes(64 * 40)
    rig = Rig()
    stack = make(cache("ram", capacity=1000), store("a", rig))
    cid = stack.put(data).cid

    def read(number: int) -> bool:
        chooser = random.Random(number)
        for _ in range(25):
            start = chooser.randrange(len(data))
            length = chooser.randrange(1, len(data))
            if stack.get(cid, start, length) != data[start : start + length]:
                return False
        return True

    assert together(12, read) == [True] * 12
    index = stack._parts.caches.caches[0]
    assert index.usage()[0] <= 1000


def test_an_abandoned_stream_leaves_no_flight_open(make: Make) -> None:
    data = random.Random(3).randbytes(64 * 40)
    stack = make(store("a"))
    cid = stack.put(data).cid
    for _ in range(20):
        stream = stack.stream(cid)
        next(stream)
        del stream
    assert together(4, lambda number: stack.get(cid) == data) == [True] * 4
    assert not stack._parts.reader._resolver._flights._open


def test_failing_reads_leave_no_flight_open(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    data = random.Random(3).randbytes(64 * 40)
    cid = stack.put(data).cid
    for error in (TierUnavailable("down"), ValueError("bug"), KeyboardInterrupt(), SystemExit()):

        def on(op: str, key: str, byte_range: Any, error: BaseException = error) -> Any:
            if op == "get":
                raise error
            return PASS

        rig.on = on
        with pytest.raises((StoreUnavailable, KeyboardInterrupt, SystemExit)):
            stack.get(cid)
        assert not stack._parts.reader._resolver._flights._open
    rig.on = None
    assert stack.get(cid) == data


def test_flights_alone() -> None:
    flights, root = Flights(), Cid.of(b"", RAW)
    first, own = flights.claim("k", root)
    assert own
    second, own = flights.claim("k", root)
    assert second is first
    assert not own
    flights.land("k", first, lambda: b"block")
    second.wait()
    assert second.block == b"block"
    assert flights.claim("k", root)[1], "a flight that landed is not open"

    broken, _ = flights.claim("x", root)
    flights.claim("x", root)
    with pytest.raises(ZeroDivisionError):
        flights.land("x", broken, lambda: bytes(1 // 0))
    broken.wait()
    assert broken.block is None

    alone, _ = flights.claim("y", root)
    flights.land("y", alone, lambda: pytest.fail("nobody waits, so nothing is built"))
