"""Caches under their policies, on memory and disk tiers over a slow third: exact, bounded, explained."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.stacks import Shelf, Spec, disk, memory, open_stack, shelf

from ziggurat import Store
from ziggurat.config.model import PolicyConfig
from ziggurat.config.policies import load_policy
from ziggurat.engine.accesslog import log_files
from ziggurat.engine.policies import Ages
from ziggurat.engine.traces import read_log
from ziggurat.errors import BlobNotFound, ConfigError, StoreUnavailable, TierUnavailable
from ziggurat.plugin.registry import POLICIES, Registry

REGISTRY = Registry(POLICIES)
NAMES = [provider.name for provider in REGISTRY.available()]
PAIRS = [("arc", "heat"), ("heat", "heat"), ("lru", "lru"), ("s3fifo", "heat-score")]


def chosen(name: str, **parameters: Any) -> PolicyConfig:
    provider, type_ = load_policy(name, REGISTRY)
    return PolicyConfig(provider, type_, type_.parameters(**parameters))


def ram(capacity: int, policy: str = "arc") -> Spec:
    spec = memory("ram", capacity)
    spec.more["policy"] = chosen(policy)
    return spec


def on_medium(folder: Path) -> int:
    """Bytes that a disk cache really holds."""
    import sqlite3

    with sqlite3.connect(f"file:{folder / 'small.db'}?mode=ro", uri=True, timeout=30) as database:
        ((small,),) = database.execute("SELECT coalesce(sum(length(data)), 0) FROM small").fetchall()
    database.close()
    return int(small) + sum(path.stat().st_size for path in (folder / "files").rglob("*") if path.is_file())


def blobs(store: Store, sizes: list[int], seed: int = 0) -> list[tuple[Any, bytes]]:
    rng = random.Random(seed)
    found = []
    for size in sizes:
        data = rng.randbytes(size)
        found.append((store.put(data).cid, data))
    return found


def slow(seconds: float) -> Callable[[str, str], None]:
    def script(op: str, key: str) -> None:
        if op == "get":
            time.sleep(seconds)

    return script


def used(store: Store) -> dict[str, int]:
    return {tier.tier: tier.used or 0 for tier in store.stats().tiers}


@pytest.mark.parametrize(("hot", "cold"), PAIRS)
def test_accounts_equal_what_is_held_under_any_policy(tmp_path: Path, hot: str, cold: str) -> None:
    medium, begun = Shelf(), time.monotonic()
    ssd = disk("ssd", tmp_path / "ssd", role="cache", capacity=60_000, policy=chosen(cold))
    with open_stack(tmp_path / "catalog", ram(15_000, hot), ssd, shelf("far", medium)) as store:
        rng = random.Random(1)
        known = blobs(store, [rng.choice((100, 900, 3000, 9000)) for _ in range(120)])
        for _ in range(100_000 if hot == "arc" else 3000):
            cid, data = known[min(int(rng.paretovariate(0.5)), 10**9) % len(known)]
            assert store.get(cid) == data
        store._stack().filler.drain()
        tiers = {tier.tier: tier for tier in store.stats().tiers}
        backend: Any = store.tiers[0].plugin
        assert tiers["ram"].used is not None
        assert 0 < tiers["ram"].used <= 15_000
        assert sum(len(backend.get(key)) for key in backend.scan()) == tiers["ram"].used
        assert 0 < (tiers["ssd"].used or 0) <= 60_000
        assert tiers["ssd"].used == on_medium(tmp_path / "ssd")
        assert tiers["ram"].hits > 500
        assert tiers["ram"].hits + tiers["ram"].misses >= (100_000 if hot == "arc" else 3000)
        assert tiers["ram"].policy == hot
        assert tiers["ssd"].policy == cold
        assert tiers["ssd"].evictions > 0
        assert tiers["ram"].evicted_age is not None
        assert 0 <= tiers["ram"].evicted_age <= time.monotonic() - begun
        assert tiers["ssd"].evicted_age is not None
        assert tiers["far"].policy is None
        assert tiers["far"].evicted_age is None


def test_hits_in_memory_are_counted_exactly_by_threads(tmp_path: Path) -> None:
    with open_stack(tmp_path / "catalog", ram(10**6), shelf("far", Shelf())) as store:
        (cid, _), (other, _) = blobs(store, [1000, 10])
        store.get(cid)
        before = next(tier for tier in store.stats().tiers if tier.tier == "ram")

        def read() -> None:
            for _ in range(20_000):
                store.get(cid)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(3):  # looking does not count
            after = next(tier for tier in store.stats().tiers if tier.tier == "ram")
        assert after.hits - before.hits == 60_000
        assert after.misses == before.misses
        assert store.explain(cid).accesses == 60_001
        assert store.explain(other).accesses == 0
    with open_stack(tmp_path / "catalog", ram(10**6), shelf("far", Shelf())) as store:
        assert store.explain(cid).accesses == 60_001, "counts survive the process"
        heat = store.explain(cid).heat
        assert heat is not None
        weighed = heat.frequency_factor * heat.frequency_weight + heat.recency * heat.recency_weight
        assert heat.score == pytest.approx(weighed * heat.boost_factor * heat.age_factor)


def test_counts_survive_eviction(tmp_path: Path) -> None:
    with open_stack(tmp_path / "catalog", ram(1500), shelf("far", Shelf())) as store:
        (one, _), (two, _) = blobs(store, [1000, 1000])
        for _ in range(5):
            store.get(one)
            store.get(two)
        assert store.explain(one).accesses == 5
        assert [each.key for each in store.explain(one).expected] == []
        assert [each.policy for each in store.explain(two).expected] == ["arc"]


def test_explain_says_what_heat_expects_among_neighbours(tmp_path: Path) -> None:
    ssd = disk("ssd", tmp_path / "ssd", role="cache", capacity=50_000)
    with open_stack(tmp_path / "catalog", ssd, shelf("far", Shelf())) as store:
        known = blobs(store, [1000] * 20)
        for cid, _ in known:
            store.get(cid)
        store._stack().filler.drain()
        for _ in range(10):
            store.get(known[3][0])
        (found,) = store.explain(known[3][0]).expected
        assert (found.tier, found.policy, found.unit) == ("ssd", "heat", "seconds")
        assert found.neighbours == 20
        assert found.rank is not None
        assert 0 <= found.rank < 20
        assert found.value is not None


def test_a_policy_that_a_tier_cannot_use_is_refused_when_made_by_hand(tmp_path: Path) -> None:
    ssd = disk("ssd", tmp_path / "ssd", role="cache", capacity=50_000, policy=chosen("arc"))
    with pytest.raises(ConfigError, match="keeps its lists in one process"):
        open_stack(tmp_path / "catalog", ssd, shelf("far", Shelf()))


def test_what_heat_learned_is_kept_and_found_again(tmp_path: Path) -> None:
    def stack() -> Store:
        ssd = disk("ssd", tmp_path / "ssd", role="cache", capacity=20_000)
        return open_stack(tmp_path / "catalog", ram(5000, "heat"), ssd, shelf("far", medium))

    medium = Shelf()
    with stack() as store:
        known = blobs(store, [1000] * 60)
        rng = random.Random(5)
        for _ in range(600):
            store.get(known[min(int(rng.paretovariate(0.7)), 10**6) % 60][0])
            if rng.random() < 0.1:
                store._stack().filler.drain()
        catalog = store._stack().require_catalog()
        ssd = store.stats().tiers[1]
        assert ssd.evictions > 20
    with stack() as store:
        catalog = store._stack().require_catalog()
        with catalog._volatile.guard:
            kept = catalog._volatile.execute("SELECT policy, length(state) FROM learned").fetchall()
            ghosts = catalog._volatile.execute("SELECT count(*) FROM ghosts").fetchall()
        assert [policy for policy, _ in kept] == ["heat", "heat"]
        assert all(0 < size <= 65_536 for _, size in kept)
        assert ghosts[0][0] > 0
        for cid, data in known:
            assert store.get(cid) == data


def test_the_access_log_has_every_read_and_nothing_else(tmp_path: Path) -> None:
    with open_stack(tmp_path / "catalog", ram(10**6), shelf("far", Shelf()), access_log=True) as store:
        (cid, data), (big, content) = blobs(store, [1000, 3_000_000])
        for _ in range(700):
            assert store.get(cid) == data
        assert store.get(big) == content
        assert store.stat(cid).size == 1000  # looking is no read
    found = read_log(log_files(tmp_path / "catalog"))
    assert [request[1:] for request in found].count((str(cid), 1000)) == 700
    rest = [size for _, key, size in found if key != str(cid)]
    assert len(rest) == 4
    assert sum(rest) > 3_000_000
    for path in log_files(tmp_path / "catalog"):
        for line in path.read_text().splitlines():
            assert line.count(",") == 3
            assert line.endswith(",get")


def test_no_log_is_kept_unless_it_was_asked_for(tmp_path: Path) -> None:
    with open_stack(tmp_path / "catalog", ram(10**6), shelf("far", Shelf())) as store:
        ((cid, _),) = blobs(store, [10])
        store.get(cid)
    assert log_files(tmp_path / "catalog") == []


def test_ages_of_many_blocks_are_sampled() -> None:
    ages = Ages()
    assert (ages.count, ages.total) == (0, 0.0)
    for number in range(20_000):
        ages.admitted(f"k{number}")
    assert len(ages._since) <= 1024
    for number in range(20_000):
        ages.evicted(f"k{number}")
    assert 100 < ages.count <= 1024
    assert ages.total >= 0
    ages.admitted("again")
    ages.forget("again")


class WholeStack(RuleBasedStateMachine):
    """Reads over memory, disk and a slow store, tiers failing at random: nothing wrong is ever given."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.far, self.mid = Shelf(script=slow(0.0005)), Shelf()
        self.fails: dict[str, set[str]] = {"far": set(), "mid": set()}
        self.known: list[tuple[Any, bytes]] = []
        self.opens = 0
        self.start()

    def start(self) -> None:
        names = PAIRS[self.opens % len(PAIRS)]
        self.opens += 1
        ssd = disk("ssd", self.path / "ssd", role="cache", capacity=9000, policy=chosen(names[1]))
        mid = shelf("mid", self.mid, role="cache", capacity=6000, policy=chosen("heat"))
        self.store = open_stack(self.path / "catalog", ram(4000, names[0]), ssd, mid, shelf("far", self.far))
        self.mid.script = self.failing("mid")

    def failing(self, name: str) -> Callable[[str, str], None]:
        def script(op: str, key: str) -> None:
            if op in self.fails[name]:
                raise TierUnavailable("it is out", tier=name, op=op, key=key)

        return script

    def teardown(self) -> None:
        self.fails["mid"].clear()
        self.store.close()
        self.folder.cleanup()

    @rule(size=st.integers(1, 3000))
    def put(self, size: int) -> None:
        data = os.urandom(size)
        self.known.append((self.store.put(data).cid, data))

    @rule(pick=st.integers(0, 10**6), times=st.integers(1, 5))
    def get(self, pick: int, times: int) -> None:
        for at in range(times if self.known else 0):
            cid, data = self.known[(pick + at * (pick % 3)) % len(self.known)]
            assert self.store.get(cid) == data

    @rule(ops=st.sets(st.sampled_from(["get", "put", "evict", "stat"])))
    def fail(self, ops: set[str]) -> None:
        self.fails["mid"] = ops

    @rule(pick=st.integers(0, 10**6))
    def corrupt(self, pick: int) -> None:
        with self.mid.lock:
            if self.mid.held:
                key = sorted(self.mid.held)[pick % len(self.mid.held)]
                self.mid.held[key] = bytes(len(self.mid.held[key]))

    @rule(pick=st.integers(0, 10**6), tier=st.sampled_from(["ram", "ssd"]))
    def evict(self, pick: int, tier: str) -> None:
        if self.known:
            self.store.evict(self.known[pick % len(self.known)][0], tier)

    @rule()
    def lose_the_store_for_a_moment(self) -> None:
        self.far.script = lambda op, key: (_ for _ in ()).throw(TierUnavailable("away", op=op, key=key))
        for cid, data in self.known[:5]:
            try:
                assert self.store.get(cid) == data
            except (StoreUnavailable, BlobNotFound) as error:
                assert isinstance(error, StoreUnavailable)
        self.far.script = slow(0.0005)

    @rule()
    def reopen(self) -> None:
        self.fails["mid"].clear()
        self.store.close()
        self.start()

    @invariant()
    def accounts_are_exact(self) -> None:
        self.store._stack().filler.drain()
        tiers = used(self.store)
        backend: Any = self.store.tiers[0].plugin
        assert tiers["ram"] == sum(len(backend.get(key)) for key in list(backend.scan())) <= 4000
        if (self.path / "ssd" / "small.db").exists():
            assert tiers["ssd"] == on_medium(self.path / "ssd") <= 9000
        assert self.mid.used <= tiers["mid"] <= 6000
        assert self.mid.most <= 6000


TestWholeStack = WholeStack.TestCase
TestWholeStack.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
