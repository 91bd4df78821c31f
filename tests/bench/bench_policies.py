"""Cache policies: what an eviction and a simulated request cost, among few blocks and among a million."""

from __future__ import annotations

import gc
import itertools
import random
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cachetools
from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.policies import load

from ziggurat.policy import Index, PolicyType, arc, heat, lru, s3fifo
from ziggurat.policy.simulation import IndexCache, Request, replay

TRACE = Path(__file__).resolve().parents[1] / "traces/cloudPhysicsIO.trace.xz"
_BLOCK = 4096
_SHARES = (0.01, 0.03, 0.10, 0.30)
_POLICIES: tuple[tuple[PolicyType, float | None, float | None], ...] = (
    # evicting put: times cachetools' speed; simulate: CPU microseconds a request
    (arc.policy, 0.3, 4.0),
    (heat.policy, None, 10.0),
    (lru.policy, None, None),
    (s3fifo.policy, None, None),
)


def cases() -> list[Case]:
    """The cases of this module."""
    return [Case("policy-put", _puts), Case("policy-simulate", _simulations), Case("policy-entry", _entries)]


def _index(policy: PolicyType, capacity: int) -> Index:
    return policy.index(capacity, policy.parameters(), random.Random(1), None)  # type: ignore[misc]  # each here has one


def _puts(quick: bool) -> Iterator[Row]:
    for entries, shown in ((10_000, "10k"), (100_000, "100k") if quick else (1_000_000, "1M")):
        for policy, target, _ in _POLICIES:
            peer: cachetools.LRUCache[str, int] = cachetools.LRUCache(
                entries * _BLOCK, getsizeof=lambda _: _BLOCK
            )
            index, fresh = _index(policy, entries * _BLOCK), itertools.count()
            for _ in range(entries):
                key = f"bafkreih{next(fresh):052d}"
                index.admit(key, _BLOCK)
                peer[key] = _BLOCK
            gc.collect()
            gc.freeze()  # a million entries are not to be walked before each run

            def ours(index: Index = index, fresh: Iterator[int] = fresh) -> float:
                keys = [f"bafkreih{next(fresh):052d}" for _ in range(20_000)]
                admit, start = index.admit, time.perf_counter()
                for key in keys:
                    admit(key, _BLOCK)
                return time.perf_counter() - start

            def theirs(peer: cachetools.LRUCache[str, int] = peer, fresh: Iterator[int] = fresh) -> float:
                keys = [f"bafkreih{next(fresh):052d}" for _ in range(20_000)]
                start = time.perf_counter()
                for key in keys:
                    peer[key] = _BLOCK
                return time.perf_counter() - start

            name = f"policy {policy.name}: a put that evicts, among {shown} entries"
            yield pairs(name, ours, theirs, 3 if quick else 11, against="cachetools.LRUCache", target=target)
            del index, peer, ours, theirs
            gc.unfreeze()
            gc.collect()


def _simulations(quick: bool) -> Iterator[Row]:
    trace = load(TRACE, 20_000 if quick else None)
    requests = list(zip(map(float, range(len(trace.keys))), trace.keys, trace.sizes, strict=True))
    for policy, _, target in _POLICIES:
        for share in _SHARES:
            yield limit(
                f"policy {policy.name}: a simulated read, cloudPhysicsIO in {share:.0%} of its bytes, CPU",
                partial(_simulated, policy, int(trace.footprint * share), requests),
                1 if quick else 7,
                at_most=target,
                unit="us",
            )
    # Among ten thousand entries and a million: Zipf, two thirds hits.
    for policy, _, target in _POLICIES[:2]:
        for entries, shown in ((10_000, "10k"), (100_000, "100k") if quick else (1_000_000, "1M")):
            rng, drawn = random.Random(3), 2 * entries + 200_000
            many = [
                (float(at), f"bafkreih{min(int(rng.paretovariate(0.4)), 10**9) % (4 * entries):052d}", _BLOCK)
                for at in range(drawn)
            ]
            yield limit(
                f"policy {policy.name}: a simulated read among {shown} entries, skewed, CPU",
                partial(_simulated, policy, entries * _BLOCK, many),
                1 if quick else 3,
                at_most=target,
                unit="us",
            )


def _simulated(policy: PolicyType, capacity: int, requests: list[Request]) -> float:
    cache, start = IndexCache(_index(policy, capacity)), time.process_time()
    replay(requests, [cache])
    return (time.process_time() - start) / len(requests) * 1e6


def _entries(quick: bool) -> Iterator[Row]:
    # Dictionaries grow in steps: right after one an entry costs most, before the next one least.
    for policy, _, _ in _POLICIES:
        sizes = iter((20_000,) if quick else (200_000, 270_000, 349_000))
        number = 1 if quick else 3

        def measure(policy: PolicyType = policy, sizes: Iterator[int] = sizes) -> float:
            return _state(policy, next(sizes))

        yield limit(
            f"policy {policy.name}: state of a resident block, its key apart",
            measure,
            number,
            at_most=250,
            unit="B",
        )


def _state(policy: PolicyType, entries: int) -> float:
    """Bytes for each resident entry, without ghosts."""
    keys = [f"bafkreih{number:052d}" for number in range(entries)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        index = _index(policy, entries * _BLOCK)
        for key in keys:
            index.admit(key, _BLOCK)
        return (tracemalloc.get_traced_memory()[0] - before) / len(index)
    finally:
        tracemalloc.stop()
