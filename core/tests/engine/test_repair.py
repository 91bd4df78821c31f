"""Nodes that are lost or wrong are built again, once, and put again only where this catalog is the owner."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.rigged import PASS, Rig, cache, rig_type, source, store

from ziggurat import Store
from ziggurat.catalog import Catalog
from ziggurat.content import PROFILES, Profile, read_car
from ziggurat.content.car import write_car
from ziggurat.errors import StoreUnavailable, TierUnavailable

from .conftest import SMALL

Make = Callable[..., Store]
DATA = random.Random(8).randbytes(64 * 13 + 5)


def without(car: bytes, position: int) -> bytes:
    """A CAR that lacks one section."""
    read = read_car((car,))
    pairs = list(read)
    return b"".join(write_car(read.roots, pairs[:position] + pairs[position + 1 :]))


@pytest.mark.parametrize(
    "profile", [SMALL, Profile(chunk_size=64, max_links=3, raw_leaves=False, cid_version=0)]
)
@pytest.mark.parametrize("broken", ["gone", "empty", "cut", "flipped", "another", "no inner node", "no root"])
def test_nodes_are_built_again_once_and_put_again(
    make: Make, tmp_path: Path, profile: Profile, broken: str
) -> None:
    rig = Rig()
    stack = make(store("a", rig), profile=profile, path=tmp_path / "s")
    cid = stack.put(DATA).cid
    other = stack.put(b"1" + DATA).cid
    stack.close()
    good = rig.held[cid.nodes_key]
    bad = {
        "gone": None,
        "empty": b"",
        "cut": good[:-3],
        "flipped": good[:-3] + bytes([good[-3] ^ 1]) + good[-2:],
        "another": rig.held[other.nodes_key],
        "no inner node": without(good, 2),
        "no root": without(good, 0),
    }[broken]
    rig.held.pop(cid.nodes_key)
    if bad is not None:
        rig.held[cid.nodes_key] = bad
    rig.forget()
    stack = make(store("a", rig), profile=profile, path=tmp_path / "s")
    results: list[Any] = []

    def read() -> None:
        results.append(b"".join(stack.stream(cid)))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [DATA] * 8
    assert stack.get(cid) == DATA
    assert rig.held[cid.nodes_key] == good
    assert rig.count("put") == 1


@pytest.mark.parametrize("which", ["source", "unpublished", "another's", "two markers", "read-only"])
def test_nodes_are_never_put_where_others_own_the_medium(make: Make, which: str) -> None:
    rig = Rig()
    writer = make(store("a", rig), profile="unixfs-v1-2025")
    data = random.Random(1).randbytes((1 << 20) + 100)
    cid = writer.put(data).cid
    del rig.held[cid.nodes_key]
    rig.forget()
    if which == "another's":
        rig.catalogs = ["another"]
    if which == "two markers":
        rig.catalogs = ["another", "and one more"]
    tier = {
        "source": lambda: source("a", rig),
        "read-only": lambda: store("a", rig, kind=rig_type(read_only=True)),
        "unpublished": lambda: store("a", rig, kind=rig_type(public=True)),
        "another's": lambda: store("a", rig),
        "two markers": lambda: store("a", rig),
    }[which]()
    stack = make(tier)
    for _ in range(2):
        assert stack.get(cid) == data
    # What is known of the tree was dropped from memory: it is built again, and still not put.
    stack._parts.reader._layouts.forget(cid)
    assert stack.get(cid) == data
    assert rig.count("put") == 0
    assert cid.nodes_key not in rig.held


def test_the_owner_with_another_marker_beside_its_own_still_repairs_its_copy(
    make: Make, tmp_path: Path
) -> None:
    catalog = Catalog.open(tmp_path / "c")
    rig = Rig(markers=True)
    stack = make(store("a", rig, catalog=catalog.id), path=tmp_path / "c", catalog=catalog)
    cid = stack.put(DATA).cid
    assert rig.catalogs == [catalog.id]
    rig.catalogs.append("another")
    good = rig.held.pop(cid.nodes_key)
    stack._parts.reader._layouts.forget(cid)
    assert stack.get(cid) == DATA
    assert rig.held[cid.nodes_key] == good


def test_the_profiles_are_tried_without_a_catalog(make: Make) -> None:
    data = random.Random(2).randbytes((1 << 20) + 1)
    for name in PROFILES:
        rig = Rig()
        cid = make(store("a", rig), profile=name).put(data).cid
        del rig.held[cid.nodes_key]
        assert make(source("a", rig)).get(cid) == data


def test_a_wrong_byte_of_a_raw_leaf_does_not_read_the_whole_blob_for_new_nodes(make: Make) -> None:
    a, b = Rig(), Rig()
    stack = make(store("a", a), store("b", b), min_copies=2)
    cid = stack.put(DATA).cid
    a.flip(cid.key, 0)
    a.forget()
    assert stack.get(cid) == DATA
    assert a.count("put") == a.count("stat") == 0
    assert a.count("get", str(cid.key)) == 1


def test_what_cannot_be_built_is_not_tried_at_every_read(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig), profile=Profile(chunk_size=64, max_links=3, raw_leaves=False))
    cid = stack.put(DATA).cid
    rig.flip(cid.key, 70)
    rig.forget()
    with pytest.raises(StoreUnavailable):
        stack.get(cid)
    once = rig.bytes_given
    rig.forget()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            stack.get(cid)
    assert rig.bytes_given <= 3 * once
    assert rig.count("stat") == 0
    rig.flip(cid.key, 70)
    assert stack.get(cid) == DATA


def test_a_repair_that_could_not_read_is_tried_again(make: Make, tmp_path: Path) -> None:
    rig = Rig()
    stack = make(store("a", rig), path=tmp_path / "s")
    cid = stack.put(DATA).cid
    stack.close()
    good = rig.held.pop(cid.nodes_key)
    stack = make(store("a", rig), path=tmp_path / "s")

    def on(op: str, key: str, byte_range: Any) -> Any:
        if op == "get" and key == cid.key:
            raise TierUnavailable("for a moment")
        return PASS

    rig.on = on
    with pytest.raises(StoreUnavailable):
        stack.get(cid)
    rig.on = None
    assert stack.get(cid) == DATA
    assert rig.held[cid.nodes_key] == good


def test_a_put_of_nodes_that_fails_does_not_fail_the_read(make: Make, tmp_path: Path) -> None:
    rig = Rig()
    stack = make(store("a", rig), path=tmp_path / "s")
    cid = stack.put(DATA).cid
    stack.close()
    rig.held.pop(cid.nodes_key)
    stack = make(store("a", rig), path=tmp_path / "s")
    rig.on = lambda op, key, byte_range: 1 / 0 if op in ("put", "identify") else PASS
    # The medium was identified before it went wrong.
    rig.on = None
    assert stack.has(cid)
    rig.on = lambda op, key, byte_range: 1 / 0 if op in ("put", "identify") else PASS
    assert stack.get(cid) == DATA
    assert any("ZeroDivisionError" in str(failure) for failure in stack.failures())


def test_a_stat_without_a_size_does_not_stop_the_repair(make: Make, tmp_path: Path) -> None:
    from ziggurat.backend import Stat

    rig = Rig()
    stack = make(store("a", rig), path=tmp_path / "s")
    cid = stack.put(DATA).cid
    stack.close()
    rig.held.pop(cid.nodes_key)
    rig.on = lambda op, key, byte_range: Stat() if op == "stat" else PASS
    assert make(store("a", rig), path=tmp_path / "s").get(cid) == DATA


def test_blocks_from_a_cache_and_nodes_that_are_gone(make: Make) -> None:
    """The root is in a cache, so the nodes are first missed beneath it."""
    ram, rig = Rig(), Rig()
    stack = make(cache("ram", ram, capacity=4096), store("a", rig))
    cid = stack.put(DATA).cid
    assert stack.get(cid) == DATA
    stack._parts.reader._layouts.forget(cid)
    for key in list(ram.held):
        if key != cid.block_key:
            stack._parts.caches.caches[0].drop(key)
    del rig.held[cid.nodes_key]
    assert stack.get(cid) == DATA
    assert cid.nodes_key in rig.held


def test_verify_repairs_nothing(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    cid = stack.put(DATA).cid
    del rig.held[cid.nodes_key]
    rig.forget()
    [finding] = stack.verify(cid)
    assert not finding.ok
    assert "nodes are missing" in finding.problem
    assert rig.count("put") == 0
