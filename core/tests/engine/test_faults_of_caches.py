"""A cache that fails or lies fails nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.rigged import PASS, Rig, cache, rig_type, store

from ziggurat.backend import Blob, Dag
from ziggurat.errors import (
    TierUnavailable,
)

from .lying import DATA, LEAVES, Make


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
