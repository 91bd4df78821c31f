"""Closures of a dag store: nothing that one carries is given up with it while it is kept and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from tests.support.dag_backend import DagBackend, DagMedium
from tests.support.folders import folder_of, put_two_sharing
from tests.support.stacks import Shelf, dag, shelf

from ziggurat.backend import hookimpl
from ziggurat.content import Cid
from ziggurat.engine.store import Store
from ziggurat.errors import BlobPinned, LastCopy, TierUnavailable

BIG = os.urandom(3 << 20)


def left_behind(store: Store, tmp_path: Path) -> tuple[Cid, Cid]:
    """A closure on "dag" that no root reaches, and its child, which is pinned and has a copy on "shelf"."""
    root = store.put_dir(folder_of(tmp_path / "tree", shared=BIG, own=b"1")).cid
    child = child_of(store, root)
    store.pin(child)
    store.copy(child, "shelf")
    store.remove(root)
    return root, child


def silent(op: str, key: str) -> None:
    if op == "has":
        raise TierUnavailable("cannot tell")


def child_of(store: Store, root: Cid) -> Cid:
    return next(entry.cid for entry in store.ls(root) if entry.path == "shared")


def test_a_closure_that_carries_the_last_copy_of_a_kept_child_stays(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    """Two closures carry a pinned child: one may go, the other must stay, dry run or not."""
    medium = DagMedium()
    store = stack(dag("dag", medium))
    first, second = put_two_sharing(store, tmp_path, BIG)
    child = child_of(store, first)
    store.pin(child)
    store.remove(first)
    store.remove(second)
    dry = store.gc(dry_run=True)
    assert dry == store.gc()
    assert dry[0].blobs == 1
    assert "last copy" in dry[0].failed[0]
    assert store.get(child) == BIG
    left = first if first in medium.roots else second
    with pytest.raises(LastCopy, match="part of"):
        store.evict(left, "dag")
    with pytest.raises(BlobPinned):
        store.evict(child, "dag")
    store.unpin(child)
    assert store.gc()[0].blobs == 1
    assert not medium.blocks


def test_evict_asks_for_the_other_copies_of_what_a_closure_carries(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    """A child stays while its other copies are only known of: vanished, silent, or on a tier that is away."""
    medium, other = DagMedium(), Shelf()
    store = stack(dag("dag", medium), shelf("shelf", other))
    root, child = left_behind(store, tmp_path)
    held = dict(other.held)

    other.held.clear()
    with pytest.raises(LastCopy, match=f"last copy of {child} that can be seen, as part of {root}"):
        store.evict(root, "dag")
    other.held.update(held)

    other.script = silent
    with pytest.raises(LastCopy, match="part of"):
        store.evict(root, "dag")
    other.script = lambda op, key: None
    assert store.get(child) == BIG

    assert store.evict(root, "dag").had
    assert not medium.blocks
    assert store.get(child) == BIG


def test_another_closure_of_the_same_medium_keeps_a_child_while_it_is_there(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    medium = DagMedium()
    store = stack(dag("dag", medium))
    first, second = put_two_sharing(store, tmp_path, BIG)
    child = child_of(store, first)
    store.remove(first)
    pinned = medium.roots.pop(second)  # somebody took its pin
    with pytest.raises(LastCopy, match="part of"):
        store.evict(first, "dag")
    medium.roots[second] = pinned
    assert store.evict(first, "dag").had
    assert store.get(child) == BIG


def test_a_child_is_given_up_only_with_its_root(stack: Callable[..., Store], tmp_path: Path) -> None:
    medium = DagMedium()
    store = stack(dag("dag", medium))
    root = store.put_dir(folder_of(tmp_path / "tree", a=BIG)).cid
    child = next(iter(store.ls(root))).cid
    assert store.has(child)
    with pytest.raises(LastCopy, match="evict that root instead"):
        store.evict(child, "dag")


def test_gc_asks_for_the_other_copies_of_what_a_closure_carries(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    """What is unreachable goes on; the closure stays while the copies elsewhere are only known of."""
    medium, other = DagMedium(), Shelf()
    store = stack(dag("dag", medium), shelf("shelf", other))
    root, child = left_behind(store, tmp_path)
    stray = store.put(b"unreferenced").cid
    store.remove(stray)
    held = dict(other.held)

    other.held.clear()
    dry = store.gc(dry_run=True)
    assert dry == store.gc()
    assert (dry[0].blobs, dry[0].refused) == (1, "")
    (told,) = dry[0].failed
    assert f"{root.key} carries the last copy that can be seen of {child}, which is kept" in told
    assert stray not in medium.roots
    assert store.get(child) == BIG
    other.held.update(held)

    other.script = silent
    assert store.gc()[0].failed == (told,)
    other.script = lambda op, key: None
    assert store.get(child) == BIG

    assert store.gc()[0].blobs == 1
    assert not medium.blocks
    assert store.get(child) == BIG


def test_gc_keeps_a_closure_while_the_tier_of_the_other_copies_is_away(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    medium, other = DagMedium(), Shelf()
    store = stack(dag("dag", medium), shelf("shelf", other))
    _, child = left_behind(store, tmp_path)
    store.close()

    without = stack(dag("dag", medium))
    assert [(one.blobs, len(one.failed)) for one in without.gc()] == [(0, 1)]
    without.close()

    def away(op: str, key: str) -> None:
        if op != "close":
            raise TierUnavailable("is away")

    other.script = away
    again = stack(dag("dag", medium), shelf("shelf", other))
    first, second = again.gc()
    assert (first.blobs, len(first.failed), first.refused) == (0, 1, "")
    assert (second.blobs, second.refused) == (0, "is away")
    assert again.get(child) == BIG
    other.script = lambda op, key: None
    assert again.gc()[0].blobs == 1
    assert again.get(child) == BIG


def test_gc_of_closures_on_two_tiers_leaves_one_that_carries_what_is_kept(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    one, two = DagMedium(), DagMedium()
    store = stack(dag("one", one), dag("two", two), min_copies=2)
    root = store.put_dir(folder_of(tmp_path / "tree", shared=BIG, own=b"1")).cid
    child = child_of(store, root)
    store.pin(child)
    store.remove(root)
    dry = store.gc(dry_run=True)
    assert [(each.blobs, len(each.failed)) for each in dry] == [(1, 0), (0, 1)]
    assert store.gc() == dry
    assert store.get(child) == BIG


def test_gc_trusts_no_closure_whose_own_end_failed(
    stack: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An eviction that raised may have happened: what was seen before it is no reason to give up another."""
    real, calls = DagBackend.evict, count(1)

    def evict(self: DagBackend, key: str, note: bytes | None) -> bool:
        had = real(self, key, note)
        if next(calls) == 2:
            raise TierUnavailable("cut off before the answer")
        return had

    monkeypatch.setattr(DagBackend, "evict", hookimpl(evict))
    store = stack(dag("dag", DagMedium()))
    for name in (b"1", b"2", b"3"):
        root = store.put_dir(folder_of(tmp_path / name.decode(), shared=BIG, own=name)).cid
        child = child_of(store, root)
        store.pin(child)
        store.remove(root)
    (found,) = store.gc()
    assert (found.blobs, len(found.failed)) == (1, 2)
    assert store.get(child) == BIG
