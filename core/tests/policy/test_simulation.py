"""The replay: against a model of LRU, over several tiers, and with the policies that are installed."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.plugin.registry import POLICIES, Registry
from ziggurat.policy import LruIndex, LruRanker, PolicyType
from ziggurat.policy.simulation import IndexCache, RankedCache, Request, Tally, replay

INSTALLED = [provider.name for provider in Registry(POLICIES).available()]
sizes = st.integers(1, 40)
traces = st.lists(st.integers(0, 30), max_size=200)


def trace(ids: list[int]) -> list[Request]:
    return [(float(at), f"k{each}", each * 7 % 23 + 1) for at, each in enumerate(ids)]


def lru_hits(requests: list[Request], capacity: int) -> list[bool]:
    held: OrderedDict[str, int] = OrderedDict()
    found = []
    for _, key, size in requests:
        found.append(key in held)
        if key in held:
            held.move_to_end(key)
        elif size <= capacity:
            while sum(held.values()) + size > capacity:
                held.popitem(last=False)
            held[key] = size
    return found


@given(traces, st.integers(1, 200))
def test_one_cache_counts_as_a_model_of_it_does(ids: list[int], capacity: int) -> None:
    requests = trace(ids)
    hits = lru_hits(requests, capacity)
    (tally,) = replay(requests, [IndexCache(LruIndex(capacity))])
    assert tally.requests == len(requests)
    assert tally.hits == sum(hits)
    assert tally.hit_bytes == sum(size for (_, _, size), hit in zip(requests, hits, strict=True) if hit)
    assert tally.bytes_fetched == tally.bytes - tally.hit_bytes
    # So small a cache is ranked whole at each eviction, so the ranker is exact, too.
    (ranked,) = replay(requests, [RankedCache(LruRanker(), capacity, random.Random(0))])
    assert ranked == tally


@given(traces, st.integers(1, 60), st.integers(60, 300))
def test_a_colder_cache_sees_what_the_hotter_one_missed(ids: list[int], small: int, large: int) -> None:
    requests = trace(ids)
    missed = [each for each, hit in zip(requests, lru_hits(requests, small), strict=True) if not hit]
    hot, cold = replay(
        requests, [IndexCache(LruIndex(small)), RankedCache(LruRanker(), large, random.Random(0))]
    )
    (alone,) = replay(missed, [RankedCache(LruRanker(), large, random.Random(0))])
    assert hot.requests == len(requests)
    assert cold == alone


def make(type_: PolicyType, capacity: int, *, ranked: bool) -> IndexCache | RankedCache:
    rng = random.Random(7)
    if ranked:
        assert type_.ranker is not None
        return RankedCache(type_.ranker(type_.parameters(), rng, None), capacity, rng)
    assert type_.index is not None
    return IndexCache(type_.index(capacity, type_.parameters(), rng, None))


@pytest.mark.parametrize("name", INSTALLED)
def test_bytes_are_exact_and_a_seed_repeats_them(name: str) -> None:
    _, type_ = Registry(POLICIES).load(name)
    rng = random.Random(3)
    ids = [int(rng.paretovariate(0.8)) % 2000 for _ in range(20_000)]
    requests = [(at * 1.5, f"k{each}", each * 977 % 4096 + 1) for at, each in enumerate(ids)]
    for ranked in (False, True):
        if (type_.ranker if ranked else type_.index) is None:
            continue
        capacity = 300_000
        first, second = (make(type_, capacity, ranked=ranked) for _ in range(2))
        told: list[int] = []
        (tally,) = replay(requests, [first], told.append)
        assert replay(requests, [second]) == [tally]
        assert sum(told) == len(requests)
        assert 0 < first.held <= capacity
        if isinstance(first, IndexCache):
            assert first.held == sum(first.sizes.values()) == first.index.bytes
            assert len(first.sizes) == len(first.index)
        else:
            assert first.held == sum(row.size for row in first._rows.rows)
        assert 0.01 < tally.object_miss_ratio < 0.9


def test_ratios_of_nothing_are_zero() -> None:
    assert Tally().object_miss_ratio == Tally().byte_miss_ratio == 0.0
    assert replay([], [IndexCache(LruIndex(10))]) == [Tally()]
