"""Roots, pins, evict, remove and gc: nothing that is promised is given up, and everything else can be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.folders import folder_of, put_two_sharing
from tests.support.stacks import Shelf, dag, disk, memory, shelf

from ziggurat.content import Cid
from ziggurat.engine.store import Store
from ziggurat.errors import (
    BlobNotFound,
    BlobPinned,
    ConfigError,
    LastCopy,
    NotDurable,
    StoreUnavailable,
    TierDenied,
    TierUnavailable,
)

BIG = os.urandom(3 << 20)


def used(store: Store, medium: str) -> int:
    catalog = store._parts.catalog
    assert catalog is not None
    return catalog.usage(medium).used


# --- evict


def test_evict_refuses_the_last_copy_and_asks_the_other_for_real(stack: Callable[..., Store]) -> None:
    one, two = Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two), min_copies=2)
    cid = store.put(BIG).cid
    kept = dict(two.held)

    two.held.clear()  # catalogued, but vanished
    with pytest.raises(LastCopy, match="last copy"):
        store.evict(cid, "one")
    two.held.update(kept)

    def silent(op: str, key: str) -> None:
        if op == "has":
            raise TierUnavailable("cannot tell")

    two.script = silent
    with pytest.raises(LastCopy):
        store.evict(cid, "one")
    two.script = lambda op, key: None

    size = one.used
    assert store.evict(cid, "one").freed == size
    assert one.held == {}
    assert used(store, one.identity) == 0
    with pytest.raises(LastCopy):
        store.evict(cid, "two")
    assert store.get(cid) == BIG
    again = store.evict(cid, "one")
    assert (again.had, again.freed) == (False, 0)


def test_evict_of_what_no_root_keeps_is_allowed(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    cid = store.put(BIG).cid
    store.remove(cid)
    assert store.evict(cid, "one").had
    assert one.held == {}


def test_evict_leaves_alone_what_this_catalog_did_not_put(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    store.put(b"mine")
    foreign = Cid.of(b"somebody else's")
    one.held[str(foreign.key)] = b"somebody else's"
    with pytest.raises(TierDenied, match="adopt it first"):
        store.evict(foreign, "one")
    assert store.gc()[0].blobs == 0
    assert str(foreign.key) in one.held


def test_an_evict_that_fails_half_way_can_be_repeated(stack: Callable[..., Store]) -> None:
    one, two = Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two), min_copies=2)
    cid = store.put(BIG).cid

    def nodes_stay(op: str, key: str) -> None:
        if op == "evict" and key.endswith(".nodes"):
            raise TierUnavailable("cut")

    one.script = nodes_stay
    with pytest.raises(TierUnavailable):
        store.evict(cid, "one")
    assert used(store, one.identity) >= one.used > 0
    one.script = lambda op, key: None
    assert store.evict(cid, "one").had
    assert one.held == {}
    assert used(store, one.identity) == 0


# --- pins


def test_pins_refuse_and_outlive_the_root(stack: Callable[..., Store], tmp_path: Path) -> None:
    one, two = Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two), min_copies=2)
    root = store.put_dir(folder_of(tmp_path / "tree", a=b"child", b=BIG)).cid
    child = next(iter(store.ls(root))).cid
    assert store.pin(f"{root}/a")
    assert not store.pin(child)
    for call in (lambda: store.evict(child, "one"), lambda: store.remove(child)):
        with pytest.raises(BlobPinned, match="unpin"):
            call()
    removal = store.remove(root)
    collected = store.gc(dry_run=True)
    assert store.gc() == collected
    assert sum(found.size for found in collected) == removal.size
    assert set(one.held) == set(two.held) == {str(child.key)}
    assert store.unpin(child)
    assert not store.unpin(child)
    assert [found.blobs for found in store.gc()] == [1, 1]
    assert not one.held
    assert not two.held


def test_only_what_a_store_keeps_can_be_pinned(stack: Callable[..., Store]) -> None:
    store = stack(shelf("one", Shelf()))
    with pytest.raises(BlobNotFound, match="on no store"):
        store.pin(Cid.of(b"nowhere"))


# --- remove and gc


def test_shared_children_survive_the_removal_of_one_parent(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    first, second = put_two_sharing(store, tmp_path, BIG)
    removal = store.remove(first)
    assert removal.blobs == 2  # the directory and its own file
    dry = store.gc(dry_run=True)
    before = one.used
    real = store.gc()
    assert dry == real
    assert real[0].size == removal.size == before - one.used
    assert all(finding.ok for finding in store.verify(second))
    assert store.get(f"{second}/shared") == BIG
    with pytest.raises(BlobNotFound, match="no root"):
        store.remove(first)
    assert store.remove(second).size == one.used
    store.gc()
    assert one.held == {}
    assert used(store, one.identity) == 0


def test_a_file_that_is_a_root_too_survives_its_directory(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    folder = store.put_dir(folder_of(tmp_path / "folder", a=BIG)).cid
    alone = store.put(BIG).cid
    assert store.remove(folder).blobs == 1
    store.gc()
    assert store.get(alone) == BIG
    assert [root.cid for root in store.roots()] == [alone]


def test_gc_goes_on_where_one_copy_cannot_be_given_up(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    cids = [store.put(bytes([n])).cid for n in range(5)]
    for cid in cids:
        store.remove(cid)

    def script(op: str, key: str) -> None:
        if op == "evict" and key == str(cids[2].key):
            raise TierUnavailable("cut")

    one.script = script
    (found,) = store.gc()
    assert (found.blobs, len(found.failed)) == (4, 1)
    assert "cut" in found.failed[0]
    one.script = lambda op, key: None
    assert store.gc()[0].blobs == 1
    assert one.held == {}


def test_gc_of_a_tier_that_is_down_says_so_and_does_the_others(stack: Callable[..., Store]) -> None:
    one, two = Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two), min_copies=2)
    store.remove(store.put(BIG).cid)

    def down(op: str, key: str) -> None:
        if op != "close":
            raise TierUnavailable("is down")

    one.script = down
    first, second = store.gc()
    assert first.refused == "is down"
    assert not first.known
    assert second.blobs == 1
    one.script = lambda op, key: None
    assert store.gc()[0].blobs == 1


# --- who uses a medium


def test_a_second_catalog_on_a_medium_stops_both_from_collecting(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    mine = stack(disk("vault", tmp_path / "vault"), name="mine")
    cid = mine.put(BIG).cid
    theirs = stack(disk("vault", tmp_path / "vault"), name="theirs")
    assert theirs.get(cid) == BIG, "to read leaves no marker"
    mine.remove(cid)
    assert mine.gc(dry_run=True)[0].blobs == 1
    other = theirs.put(b"theirs").cid
    for store, known in ((mine, cid), (theirs, other)):
        (found,) = store.gc()
        assert found.blobs == 0
        assert "2 catalogs use this medium" in found.refused
        assert found.known
        with pytest.raises(TierDenied, match="2 catalogs"):
            store.evict(known, "vault")
        assert store.get(cid) == BIG
        assert store.get(other) == b"theirs"
    next((tmp_path / "vault" / "markers").iterdir()).unlink()
    assert mine.gc()[0].blobs == 1
    with pytest.raises(TierDenied, match="another catalog"):
        theirs.evict(other, "vault")


def test_a_cache_of_another_catalog_is_refused_with_a_way_out(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    cache = disk("ssd", tmp_path / "ssd", role="cache", capacity=10**6)
    mine = stack(cache, shelf("one", Shelf()), name="mine")
    with pytest.raises(ConfigError, match="another path"):
        stack(cache, shelf("one", Shelf()), name="theirs")
    mine.close()
    stack(cache, shelf("one", Shelf()), name="mine")  # whoever was refused has left nothing behind


def test_a_cache_on_the_medium_of_another_catalogs_store_leaves_no_marker(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    """A second marker would end collecting there for good."""
    mine = stack(disk("vault", tmp_path / "vault"), name="mine")
    mine.remove(mine.put(BIG).cid)
    with pytest.raises(ConfigError, match="another path"):
        stack(disk("ssd", tmp_path / "vault", role="cache", capacity=10**6), name="theirs")
    (found,) = mine.gc()
    assert (found.blobs, found.refused) == (1, "")


def test_a_cache_on_the_medium_of_a_store_is_refused(stack: Callable[..., Store], tmp_path: Path) -> None:
    """Otherwise it would account the store's copies as its blocks, and evict them."""
    vault = disk("vault", tmp_path / "same")
    store = stack(vault)
    cid = store.put(b"precious").cid
    store.close()
    cache = disk("ssd", tmp_path / "same", role="cache", capacity=10)
    with pytest.raises(ConfigError, match="would evict them"):
        stack(cache, vault)
    assert stack(vault).get(cid) == b"precious"


def test_a_store_on_the_medium_of_a_cache_is_refused(stack: Callable[..., Store], tmp_path: Path) -> None:
    cache = disk("ssd", tmp_path / "same", role="cache", capacity=10**6)
    store = stack(cache, disk("vault", tmp_path / "same"))
    with pytest.raises(NotDurable, match="is a cache of this store"):
        store.put(b"precious")


# --- media that go away


def test_an_unmounted_disk_is_not_an_empty_one(stack: Callable[..., Store], tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    store = stack(disk("vault", vault))
    cid, gone = store.put(BIG).cid, store.put(b"removed").cid
    store.remove(gone)
    vault.rename(tmp_path / "away")
    unplugged = stack(disk("vault", vault))  # another process finds no folder at all
    for one in (unplugged, store):
        with pytest.raises(StoreUnavailable, match="vault"):
            one.get(cid)
        with pytest.raises(StoreUnavailable):
            one.has(cid)
        with pytest.raises(NotDurable, match="vault"):
            one.put(b"new")
        with pytest.raises(TierUnavailable):
            one.evict(gone, "vault")
        (found,) = one.gc()
        assert found.refused
        findings = list(one.verify(tier="vault"))
        assert [(finding.ok, finding.known, finding.tier) for finding in findings] == [
            (False, False, "vault")
        ]
        assert not vault.exists(), "no new medium is made in its place"
    (tmp_path / "away").rename(vault)
    assert unplugged.get(cid) == BIG
    assert unplugged.put(b"new").copies == ("vault",)


def test_media_are_known_by_identity_not_by_name(stack: Callable[..., Store], tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    store = stack(disk("left", a), disk("right", b), min_copies=2)
    cid = store.put(BIG).cid
    store.close()
    swapped = stack(disk("left", b), disk("right", a))
    assert sorted(copy.tier for copy in swapped.stat(cid).copies) == ["left", "right"]
    assert swapped.evict(cid, "left").had
    assert not (list((b / "files").rglob("bafy*")))
    assert [copy.tier for copy in swapped.stat(cid).copies] == ["right"]
    with pytest.raises(LastCopy):
        swapped.evict(cid, "right")


def test_a_copy_on_a_medium_that_no_tier_is(stack: Callable[..., Store], tmp_path: Path) -> None:
    store = stack(disk("old", tmp_path / "old"))
    cid = store.put(BIG).cid
    store.close()
    other = stack(disk("new", tmp_path / "new"))
    for call in (other.get, other.has):
        with pytest.raises(StoreUnavailable, match="no configured tier"):
            call(cid)
    (finding,) = other.verify()
    assert (finding.ok, finding.known) == (False, False)
    assert "no configured tier" in finding.problem


def test_a_medium_that_is_not_there_is_no_medium_without_a_tier(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    store = stack(disk("one", tmp_path / "one"))
    cid = store.put(BIG).cid
    store.close()
    (tmp_path / "one").rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable) as caught:
        stack(disk("one", tmp_path / "one")).get(cid)
    (failure,) = caught.value.failures
    assert "mount it" in str(failure)


def test_a_tier_that_was_read_first_is_known_when_it_goes(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    """A medium that another catalog made: read, then put; then it is unmounted."""
    vault = tmp_path / "vault"
    cid = stack(disk("vault", vault), name="theirs").put(BIG).cid
    mine = stack(disk("vault", vault), name="mine")
    assert mine.get(cid) == BIG
    mine.put(b"mine")
    mine.close()
    vault.rename(tmp_path / "away")
    again = stack(disk("vault", vault), name="mine")
    with pytest.raises(NotDurable, match="catalog knows a copy"):
        again.put(b"more")
    assert not vault.exists()


def test_a_renamed_tier_keeps_its_copies(stack: Callable[..., Store], tmp_path: Path) -> None:
    store = stack(disk("old", tmp_path / "vault"))
    cid = store.put(BIG).cid
    store.close()
    renamed = stack(disk("new", tmp_path / "vault"))
    assert [copy.tier for copy in renamed.stat(cid).copies] == ["new"]
    renamed.remove(cid)
    assert renamed.gc()[0].blobs == 1


# --- looking: verify, explain, stats


def test_verify_of_nothing_is_no_success(stack: Callable[..., Store], tmp_path: Path) -> None:
    medium, one = DagMedium(), Shelf()
    store = stack(shelf("one", one), dag("two", medium), min_copies=2)
    root = store.put_dir(folder_of(tmp_path / "tree", file=BIG)).cid
    child = next(store.ls(root)).cid
    assert [(found.tier, found.ok) for found in store.verify(child)] == [("one", True), ("two", True)]
    assert len(list(store.verify(root))) == 3, "a child that a closure carries is proved with it"
    with pytest.raises(BlobNotFound, match="nothing to verify"):
        list(store.verify(Cid.of(b"never put")))
    alone = store.put(b"on one tier only" * 2).cid
    store.evict(alone, "two")
    with pytest.raises(BlobNotFound, match="on tier 'two'"):
        list(store.verify(alone, tier="two"))


def test_verify_finds_what_is_wrong_and_what_cannot_be_told(stack: Callable[..., Store]) -> None:
    one, two, three = Shelf(), Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two), shelf("three", three), min_copies=3)
    whole, flipped, torn, lost = (store.put(BIG + bytes([n])).cid for n in range(4))
    data = bytearray(one.held[str(flipped.key)])
    data[2_500_000] ^= 1
    one.held[str(flipped.key)] = bytes(data)
    nodes = bytearray(one.held[str(torn.nodes_key)])
    nodes[-1] ^= 1
    one.held[str(torn.nodes_key)] = bytes(nodes)
    del one.held[str(lost.key)]

    def down(op: str, key: str) -> None:
        if op == "get":
            raise TierUnavailable("is down")

    three.script = down
    told: list[int] = []
    found = {(one.cid, one.tier): one for one in store.verify(progress=told.append)}
    assert len(found) == 12
    assert found[whole, "one"].ok
    assert found[whole, "one"].size == len(BIG) + 1
    for cid, word in ((flipped, "wrong bytes"), (torn, "fails its proof"), (lost, "not there")):
        finding = found[cid, "one"]
        assert (finding.ok, finding.known) == (False, True)
        assert word in finding.problem
        assert found[cid, "two"].ok
        assert (found[cid, "three"].ok, found[cid, "three"].known) == (False, False)
    assert sum(told) == sum(finding.size for finding in found.values())
    assert one.held[str(torn.nodes_key)] == bytes(nodes), "to verify repairs nothing"
    assert {finding.tier for finding in store.verify(tier="two")} == {"two"}
    assert {finding.cid for finding in store.verify(whole)} == {whole}


def test_stats_are_exact(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(memory("ram", 1 << 20), shelf("one", one))
    data = [os.urandom(400_000) for _ in range(5)]
    cids = [store.put(each).cid for each in data]
    for cid, each in zip(cids, data, strict=True):
        assert store.get(cid) == each
    ram, keep = store.stats().tiers
    assert (ram.tier, ram.used, ram.entries, ram.evictions) == ("ram", 800_000, 2, 3)
    assert (keep.tier, keep.used, keep.entries, keep.evictions) == ("one", one.used, 5, 0)
    assert keep.bytes_written == one.used
    store.remove(cids[0])
    store.gc()
    keep = store.stats().tiers[1]
    assert (keep.used, keep.entries, keep.evictions) == (one.used, 4, 1)
    assert (store.stats().roots, store.stats().pins) == (4, 0)


def test_stats_are_in_file_order(stack: Callable[..., Store], tmp_path: Path) -> None:
    store = stack(
        shelf("one", Shelf()),
        memory("ram", 1000),
        shelf("two", Shelf()),
        shelf("src", Shelf(), role="source"),
    )
    assert [tier.tier for tier in store.stats().tiers] == ["one", "ram", "two", "src"]


def test_explain_tells_what_a_read_would_meet(stack: Callable[..., Store]) -> None:
    one, two = Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two, probe=False), min_copies=1)
    cid = store.put(b"on one").cid
    store.copy(cid, "two")
    del one.held[str(cid.key)]
    first, second = store.explain(cid).tiers
    assert (first.tier, first.holds, first.note) == ("one", False, "catalogued, but not there")
    assert (second.tier, second.holds) == ("two", True)
    assert store.explain(cid).answers == "two"
    assert store.has(cid)
    stray = Cid.of(b"stray")
    two.held[str(stray.key)] = b"stray"
    assert not store.has(stray), "a tier with probe = false is asked only for what the catalog lists there"
