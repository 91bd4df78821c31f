"""Totals of all processes: nothing lost, nothing twice, and nobody waits or fails for them."""

from __future__ import annotations

import gc
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.stacks import Shelf, disk, memory, open_stack, shelf

from ziggurat import Store
from ziggurat.catalog import Catalog, Tally
from ziggurat.engine import tallies
from ziggurat.errors import BlobNotFound, StoreError, TierUnavailable

STORES = 3


def whole(done: dict[str, Tally]) -> dict[str, Tally]:
    """Without what is a sum of fractions."""
    return {tier: evolve(tally, age=0.0) for tier, tally in done.items()}


def until(done: Callable[[], object]) -> None:
    """Wait until something is so; fails if it never is."""
    latest = time.monotonic() + 60
    while not done():
        assert time.monotonic() < latest
        time.sleep(0.005)


class Totals(RuleBasedStateMachine):
    """Several stores on one catalog read, write, fail, tell, close and die; each sees what all had told."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.medium = Shelf()
        self.gone: dict[str, Tally] = {}  # what those told that are no more
        self.told: list[dict[str, Tally]] = [{} for _ in range(STORES)]
        self.stores = [self._open() for _ in range(STORES)]
        self.cids: list[Any] = []

    def _open(self) -> Store:
        ssd = disk("ssd", self.folder / "ssd", role="cache", capacity=3000)
        return open_stack(self.folder / "catalog", memory("ram", 1500), ssd, shelf("far", self.medium))

    def _bury(self, at: int) -> None:
        for tier, tally in self.told[at].items():
            self.gone[tier] = self.gone.get(tier, Tally()).plus(tally)
        self.told[at] = {}
        self.stores[at] = self._open()

    @rule(at=st.integers(0, STORES - 1), size=st.integers(1, 1000))
    def put(self, at: int, size: int) -> None:
        self.cids.append(self.stores[at].put(bytes([len(self.cids) % 256]) * size).cid)

    @rule(at=st.integers(0, STORES - 1), which=st.integers(0), times=st.integers(1, 5))
    def get(self, at: int, which: int, times: int) -> None:
        for _ in range(times if self.cids else 0):
            self.stores[at].get(self.cids[which % len(self.cids)])
        self.stores[at]._parts.filler.drain()

    @rule(at=st.integers(0, STORES - 1))
    def fail(self, at: int) -> None:
        def refuse(op: str, key: str) -> None:
            raise TierUnavailable("is off")

        self.medium.script = refuse
        with pytest.raises((BlobNotFound, StoreError)):
            self.stores[at].get("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
        self.medium.script = lambda op, key: None

    @rule(at=st.integers(0, STORES - 1))
    def tell(self, at: int) -> None:
        self.stores[at]._teller.turn()
        self.told[at] = dict(self.stores[at]._teller._done())

    @rule(at=st.integers(0, STORES - 1))
    def end(self, at: int) -> None:
        store = self.stores[at]
        store._note_accesses()  # sizes of the hits in memory are learnt then, as at the close
        self.told[at] = dict(store._teller._done())
        store.close()
        self._bury(at)

    @rule(at=st.integers(0, STORES - 1))
    def die(self, at: int) -> None:
        store = self.stores[at]
        store._teller._catalog = None  # what it has not told goes with it
        store.close()
        self._bury(at)

    @invariant()
    def each_sees_all(self) -> None:
        for at, store in enumerate(self.stores):
            stats = {tier.tier: tier for tier in store.stats().tiers}
            done = dict(store._teller._done())
            expected = {}
            for tier, tally in done.items():
                total = tally.plus(self.gone.get(tier, Tally()))
                for other in range(STORES):
                    if other != at:
                        total = total.plus(self.told[other].get(tier, Tally()))
                expected[tier] = total
                assert (stats[tier].hits, stats[tier].evictions) == (tally.hits, tally.evictions)
            found: dict[str, Tally] = {}
            for name, one in stats.items():
                assert one.total is not None
                assert one.total.age == pytest.approx(expected[name].age, abs=1e-6)
                found[name] = one.total
            assert whole(found) == whole(expected)

    def teardown(self) -> None:
        for store in self.stores:
            assert all(isinstance(error, TierUnavailable) for error in store.failures())
            store.close()
        shutil.rmtree(self.folder)


TestTotals = Totals.TestCase
TestTotals.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


def opened(folder: Path, medium: Shelf) -> Store:
    return open_stack(folder / "catalog", memory("ram", 10**6), shelf("far", medium))


def total(store: Store, tier: str = "ram") -> Tally:
    (found,) = (one.total for one in store.stats().tiers if one.tier == tier)
    assert found is not None
    return found


def test_it_is_told_without_anybody_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_EVERY", 0.01)
    medium = Shelf()
    with opened(tmp_path, medium) as one, opened(tmp_path, medium) as two:
        cid = one.put(b"a block").cid
        for _ in range(1001):
            one.get(cid)
        until(lambda: total(two).hits == 1000)
        assert total(two) == Tally(hits=1000, misses=total(two).misses, bytes_read=7000, bytes_written=7)
        assert total(two, "far").bytes_written == 7
        threads = [thread for thread in threading.enumerate() if thread.name == "ziggurat-tell"]
        assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


def test_readers_wait_for_no_telling(tmp_path: Path) -> None:
    medium = Shelf()
    with opened(tmp_path, medium) as store:
        cids = [store.put(bytes([number]) * 10).cid for number in range(2)]
        store.get(cids[0])
        other = apsw.Connection(str(tmp_path / "catalog" / "volatile.db"))
        other.execute("BEGIN IMMEDIATE")
        telling = threading.Thread(target=store._teller.tell)
        telling.start()
        try:
            until(store._teller._step.locked)
            for _ in range(100):
                assert store.get(cids[0]) == bytes(10)
            assert store.get(cids[1]) == bytes([1]) * 10, "nor does one that misses"
            assert telling.is_alive()
        finally:
            other.execute("ROLLBACK")
            other.close()
        telling.join()
        assert not store.failures()
    with opened(tmp_path, medium) as store:
        assert total(store).hits == 100
        assert total(store, "far").hits == 2


def _forbid(store: Store) -> Callable[[], object]:
    catalog = store._parts.catalog
    assert catalog is not None
    writer = catalog.tallies._volatile._db._writer
    writer.pragma("query_only", 1)
    return lambda: writer.pragma("query_only", 0)


def _take_table(store: Store) -> Callable[[], object]:
    catalog = store._parts.catalog
    assert catalog is not None
    other = apsw.Connection(str(catalog.path / "volatile.db"))
    other.execute("ALTER TABLE tallies RENAME TO elsewhere")

    def give_back() -> None:
        other.execute("ALTER TABLE elsewhere RENAME TO tallies")
        other.close()

    return give_back


@pytest.mark.parametrize(("spoil", "readable"), [(_forbid, True), (_take_table, False)])
def test_a_catalog_that_fails_fails_no_read_and_nothing_is_lost(
    tmp_path: Path, spoil: Callable[[Store], Callable[[], object]], readable: bool
) -> None:
    medium = Shelf()
    with opened(tmp_path, medium) as store:
        cid = store.put(b"a block").cid
        store.get(cid)
        store._teller.turn()
        mend = spoil(store)
        for _ in range(5):
            store.get(cid)
        for _ in range(2):
            before = len(store.failures())
            store._teller.turn()
            assert len(store.failures()) > before
            assert isinstance(store.failures()[-1], StoreError)
        ram, far = store.stats().tiers
        assert (ram.hits, far.hits) == (5, 1)
        assert (ram.total is not None, far.total is not None) == (readable, readable)
        if readable:
            assert total(store).hits == 5
        mend()
        store._teller.turn()
        assert total(store).hits == 5
        with opened(tmp_path, medium) as other:
            assert total(other).hits == 5, "what could not be told is told once it can"
        store.get(cid)
        mend = spoil(store)
    if spoil is _take_table:
        mend()
    with opened(tmp_path, medium) as store:
        assert total(store).hits == 5, "the sixth could not be told, and the close did not fail"


def test_a_stack_without_a_catalog_has_no_totals(tmp_path: Path) -> None:
    medium = Shelf()
    with opened(tmp_path, medium) as store:
        cid = store.put(b"a block").cid
    with Store.from_tiers(
        _tiers(tmp_path, memory("ram", 1000), shelf("far", medium, role="source")),
        path=tmp_path / "none",
    ) as store:
        store.get(cid)
        store._teller.turn()
        assert [tier.total for tier in store.stats().tiers] == [None, None]
        assert [tier.hits for tier in store.stats().tiers] == [0, 1]
        assert not store.failures()


def _tiers(folder: Path, *specs: Any) -> list[Any]:
    from ziggurat.tiers import make_tier

    return [make_tier(spec.config(), catalog="", spool=folder / "spool") for spec in specs]


def test_a_store_that_nobody_closed_goes_and_ends_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "_EVERY", 0.01)
    store = opened(tmp_path, Shelf())
    store.put(b"a block")
    thread, gone = store._teller._thread, weakref.ref(store)
    assert thread is not None
    catalog = store._parts.catalog
    del store

    def ended() -> bool:
        gc.collect()
        return gone() is None and not thread.is_alive()

    until(ended)
    assert catalog is not None
    catalog.close()


def test_all_tiers_are_told_or_none(tmp_path: Path) -> None:
    with Catalog.open(tmp_path) as catalog:
        catalog.tallies.add({"ram": Tally(hits=1), "far": Tally(age=0.5, aged=1)})
        bad: Any = Tally(hits="many")  # type: ignore[arg-type]  # what the table refuses
        with pytest.raises(StoreError):
            catalog.tallies.add({"ram": Tally(hits=1), "far": bad})
        catalog.tallies.add({"ram": Tally(bytes_read=-1)})
        catalog.tallies.add({})
        assert catalog.tallies.all() == {
            "ram": Tally(hits=1, bytes_read=-1),
            "far": Tally(age=0.5, aged=1),
        }
        assert catalog.tallies.all()["far"].evicted_age == 0.5
