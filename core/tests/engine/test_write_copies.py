"""`min_copies`, placement and refusals: every tier may fail at every step of a put."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.dag_backend import DagMedium
from tests.support.stacks import FAST_RETRY, Shelf, dag, open_stack, shelf

from ziggurat.content import Cid
from ziggurat.engine.store import Store
from ziggurat.errors import (
    BlobNotFound,
    BlobTooLarge,
    ConfigError,
    ContentMismatch,
    NotDurable,
    StoreError,
    StoreFull,
    TierDenied,
    TierFull,
    TierUnavailable,
    ZigguratError,
)

BIG = os.urandom(3 << 20)
"""Three leaves under one node, above the size at which a tier is asked first."""
SMALL = b"one raw leaf"


def fail(op: str, error: Exception, *, when: Callable[[str], bool] = lambda key: True) -> Any:
    def script(asked: str, key: str) -> None:
        if asked == op and when(key):
            raise error

    return script


def down(error: Exception | None = None) -> Any:
    def script(asked: str, key: str) -> None:
        if asked != "close":
            raise error or TierUnavailable("is down")

    return script


def accounts_right(store: Store, *shelves: Shelf) -> None:
    """Catalogued bytes are those on the medium, nothing is reserved, and gc leaves what the roots need."""
    catalog = store._parts.catalog
    assert catalog is not None
    for one in shelves:
        assert catalog.usage(one.identity).used == one.used
        assert catalog.reservations.reserved(one.identity) == 0


# --- where copies go


def test_copies_go_to_the_first_tiers_in_file_order(stack: Callable[..., Store]) -> None:
    one, two, three = Shelf(), Shelf(), Shelf()
    store = stack(shelf("one", one), shelf("two", two), shelf("three", three), min_copies=2)
    receipt = store.put(BIG)
    assert receipt.copies == ("one", "two")
    assert set(one.held) == set(two.held) == {str(receipt.cid.key), str(receipt.cid.nodes_key)}
    assert not three.asked
    accounts_right(store, one, two)


@pytest.mark.parametrize("data", [b"", SMALL, BIG])
@pytest.mark.parametrize("op", ["identify", "claim", "has", "put", "all"])
def test_a_failing_tier_is_passed_over(stack: Callable[..., Store], op: str, data: bytes) -> None:
    bad, good, more = Shelf(), Shelf(), Shelf()
    bad.script = down() if op == "all" else fail(op, TierUnavailable("is down"))
    store = stack(shelf("bad", bad), shelf("good", good), shelf("more", more), min_copies=2)
    receipt = store.put(data)
    if op == "has" and data != BIG:
        assert receipt.copies == ("bad", "good")  # a small put asks nobody first
    else:
        assert receipt.copies == ("good", "more")
        assert any("is down" in str(error) for error in store.failures())
        assert not bad.held
    assert store.get(receipt.cid) == data
    accounts_right(store, bad, good, more)


@pytest.mark.parametrize("kind", [TierFull, TierUnavailable, TierDenied])
def test_too_few_copies_leave_rows_for_gc(stack: Callable[..., Store], kind: type[Exception]) -> None:
    good, bad = Shelf(), Shelf()
    bad.script = fail("put", kind("no"))
    store = stack(shelf("good", good), shelf("bad", bad), min_copies=2)
    with pytest.raises(StoreFull if kind is TierFull else NotDurable) as caught:
        store.put(BIG)
    assert [str(failure) for failure in caught.value.failures] == ["tier 'bad': put: no"]
    assert "1 could be made" in str(caught.value)
    assert list(store.roots()) == []
    assert good.used > len(BIG)
    accounts_right(store, good, bad)
    before = good.used
    assert [(one.tier, one.blobs, one.size) for one in store.gc()] == [("good", 1, before), ("bad", 0, 0)]
    assert good.used == 0
    accounts_right(store, good, bad)


def test_a_mix_of_full_and_down_is_not_durable(stack: Callable[..., Store]) -> None:
    full, off = Shelf(script=fail("put", TierFull("no room"))), Shelf(script=down())
    store = stack(shelf("full", full), shelf("off", off))
    with pytest.raises(NotDurable) as caught:
        store.put(SMALL)
    assert "tier 'full'" in str(caught.value)
    assert "tier 'off'" in str(caught.value)


def test_a_retry_after_a_failure_finishes_with_what_is_there(stack: Callable[..., Store]) -> None:
    good, bad = Shelf(), Shelf()
    bad.script = fail("put", TierUnavailable("later"))
    store = stack(shelf("good", good), shelf("bad", bad), min_copies=2)
    with pytest.raises(NotDurable):
        store.put(BIG)
    sent = good.ops("put")
    bad.script = lambda op, key: None
    assert store.put(BIG).copies == ("good", "bad")
    assert good.ops("put") == sent, "the copy that was there is not sent again"
    assert [one.blobs for one in store.gc()] == [0, 0]
    accounts_right(store, good, bad)


def test_only_large_blobs_are_asked_for_first(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    store.put(bytes(1 << 20))
    assert one.ops("has").count("has") <= 1  # whether its nodes were there, not whether it is
    one.asked.clear()
    store.put(bytes((1 << 20) + 1))
    assert one.asked[0][0] == "has"


# --- torn puts


def test_a_failed_plain_put_takes_its_nodes_back(stack: Callable[..., Store]) -> None:
    one = Shelf()
    one.script = fail("put", TierUnavailable("cut"), when=lambda key: "." not in key)
    store = stack(shelf("one", one))
    with pytest.raises(NotDurable):
        store.put(BIG)
    assert one.held == {}
    accounts_right(store, one)


def test_nodes_that_cannot_be_taken_back_are_counted_and_collected(stack: Callable[..., Store]) -> None:
    one = Shelf()

    def script(op: str, key: str) -> None:
        if (op == "put" and "." not in key) or op == "evict":
            raise TierUnavailable("cut")

    one.script = script
    store = stack(shelf("one", one))
    with pytest.raises(NotDurable):
        store.put(BIG)
    assert [key.endswith(".nodes") for key in one.held] == [True]
    accounts_right(store, one)
    one.script = lambda op, key: None
    assert store.gc()[0].blobs == 1
    assert one.held == {}
    accounts_right(store, one)


def test_a_failed_put_again_keeps_the_copy_that_was_there(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    data = os.urandom(1 << 20)  # not above the limit: it is sent again
    cid = store.put(data).cid
    held = dict(one.held)
    one.script = fail("put", TierUnavailable("cut"), when=lambda key: "." not in key)
    with pytest.raises(NotDurable):
        store.put(data)
    assert one.held == held
    assert store.get(cid) == data
    accounts_right(store, one)


def test_a_put_whose_tier_cannot_tell_is_settled_later(stack: Callable[..., Store]) -> None:
    """The answer is lost after the bytes arrived: they count, and gc finds them."""
    one = Shelf()

    store = stack(shelf("one", one))
    store.put(SMALL)
    real = one.script

    def script(op: str, key: str) -> None:
        if op == "put":
            one.held[key] = BIG
            raise TierUnavailable("the answer was lost")
        if op in ("stat", "has"):
            raise TierUnavailable("still away")

    one.script = script
    with pytest.raises(NotDurable):
        store.put(b"another small one")
    catalog = store._parts.catalog
    assert catalog is not None
    assert catalog.reservations.reserved(one.identity) > 0
    one.script = real
    assert [(found.blobs, found.size) for found in store.gc(dry_run=True)] == [(1, len(BIG))]
    assert [(found.blobs, found.size) for found in store.gc()] == [(1, len(BIG))]
    accounts_right(store, one)


# --- sources that fail


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_failing_source_blames_no_tier(stack: Callable[..., Store], pieces: int) -> None:
    one = Shelf()
    store = stack(shelf("one", one))

    def source() -> Iterator[bytes]:
        for _ in range(pieces):
            yield bytes(1 << 20)
        raise OSError(5, "the tape broke")

    with pytest.raises(OSError, match="the tape broke"):
        store.put(source())
    assert one.held == {}
    assert list(store.roots()) == []
    assert store.stats().tiers[0].errors == 0
    accounts_right(store, one)


def test_a_file_that_changes_between_the_passes_is_refused(
    stack: Callable[..., Store], tmp_path: Path
) -> None:
    one, two = Shelf(), Shelf()
    path = tmp_path / "file"
    path.write_bytes(BIG)

    def script(op: str, key: str) -> None:
        if op == "put" and "." not in key:
            path.write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))

    two.script = script
    store = stack(shelf("one", one), shelf("two", two), min_copies=2)
    with pytest.raises(ContentMismatch, match="changed while it was read"):
        store.put(path)
    assert list(store.roots()) == []
    assert two.held == {}
    assert store.stats().tiers[1].errors == 0
    accounts_right(store, one, two)
    assert store.gc()[0].blobs == 1, "the copy that was made before has a row without a root"
    assert one.held == {}


def test_a_backend_that_swallows_the_error_of_a_source_is_not_believed(
    stack: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.stacks import ShelfBackend

    from ziggurat.backend import Stat

    path = tmp_path / "file"
    path.write_bytes(BIG)
    one = Shelf()

    def put(self: Any, key: str, content: Any) -> Stat:
        self._ask("put", key)
        if isinstance(content, bytes):
            return Stat(stored=len(content))
        path.write_bytes(bytes(len(BIG)))
        with suppress(ZigguratError):
            list(content.chunks())
        return Stat(stored=len(BIG))

    from ziggurat.backend import hookimpl

    monkeypatch.setattr(ShelfBackend, "put", hookimpl(put))
    store = stack(shelf("one", one))
    with pytest.raises(ContentMismatch):
        store.put(path)
    assert list(store.roots()) == []


# --- the catalog fails


def test_without_its_rows_nothing_is_acknowledged(stack: Callable[..., Store], monkeypatch: Any) -> None:
    one = Shelf()
    store = stack(shelf("one", one))
    store.put(SMALL)
    catalog = store._parts.catalog
    assert catalog is not None

    def broken(call: Any) -> Any:
        raise StoreError("the disk of the catalog is full")

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "_write", broken)
        with pytest.raises(StoreError, match="full"):
            store.put(BIG)
        answers = list(store.put_many([b"a", b"b", SMALL]))
        assert [type(answer) for answer in answers] == [StoreError] * 3
    assert len(list(store.roots())) == 1
    assert catalog.reservations.reserved(one.identity) > 0, "the bytes are there and must count"
    assert store.gc()[0].blobs == 3
    accounts_right(store, one)
    assert one.used == len(SMALL)


# --- what may be written at all


def test_a_public_tier_without_publish_receives_nothing(stack: Callable[..., Store]) -> None:
    public, private = Shelf(), Shelf()
    store = stack(shelf("public", public, public=True), shelf("private", private))
    receipt = store.put(SMALL)
    assert receipt.copies == ("private",)
    with pytest.raises(TierDenied, match="publish = true"):
        store.copy(receipt.cid, "public")
    assert "put" not in public.ops("put", "claim")
    assert "claim" not in public.ops("put", "claim")
    public.held.update(private.held)
    adopted = store.adopt(receipt.cid, "public")
    assert adopted.copies == ("public",)
    assert public.catalogs == [], "no marker is left where nothing may be written"


def test_a_source_is_never_written_nor_adopted_from(stack: Callable[..., Store]) -> None:
    keep, source = Shelf(), Shelf()
    store = stack(shelf("keep", keep), shelf("source", source, role="source"))
    cid = store.put(SMALL).cid
    for call in (store.copy, store.adopt):
        with pytest.raises(ConfigError, match="no store tier 'source'"):
            call(cid, "source")
    assert not source.ops("put", "claim")
    source.held[str(Cid.of(b"elsewhere").key)] = b"elsewhere"
    assert store.has(Cid.of(b"elsewhere"))
    with pytest.raises(BlobNotFound):
        store.pin(Cid.of(b"elsewhere"))


def test_a_blob_that_is_too_large_goes_elsewhere(stack: Callable[..., Store]) -> None:
    small, large = Shelf(), Shelf()
    store = stack(shelf("small", small, max_blob=1000), shelf("large", large))
    assert store.put(BIG).copies == ("large",)
    assert store.put(SMALL).copies == ("small",)
    assert not any(key == str(store.put(BIG).cid.key) for op, key in small.asked if op == "put")
    with pytest.raises(BlobTooLarge):
        store.copy(store.put(bytes(1001)).cid, "small")


def test_two_tiers_on_one_medium_are_one_copy(stack: Callable[..., Store]) -> None:
    one = Shelf()
    store = stack(shelf("a", one), shelf("b", one), min_copies=2)
    with pytest.raises(NotDurable, match="same medium as tier 'a'"):
        store.put(SMALL)
    a, b = store.stats().tiers
    assert (a.state, a.problem) == ("ok", "")
    assert b.state == "unavailable"
    assert b.problem.startswith("is on the same medium as tier 'a'")


# --- retries


def test_a_retryable_failure_is_tried_again(stack: Callable[..., Store]) -> None:
    one = Shelf()
    left = [1]

    def script(op: str, key: str) -> None:
        if op == "put" and left:
            left.pop()
            raise TierUnavailable("hiccup", retryable=True)

    one.script = script
    store = stack(shelf("one", one, retry=FAST_RETRY))
    assert store.put(BIG).copies == ("one",)
    accounts_right(store, one)


# --- anything may fail at any time


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_whatever_fails_acknowledged_is_there_and_accounts_are_right(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A random call of a random tier fails, again and again; then the accounts are settled by one gc."""
    shelves = [Shelf(), Shelf(), Shelf()]
    rolls = data.draw(st.lists(st.integers(0, 5), max_size=60))
    kinds = [TierUnavailable("down"), TierFull("full"), ValueError("a bug"), TierDenied("no")]
    armed = [True]

    def script(op: str, key: str) -> None:
        if armed and rolls and op != "close" and (roll := rolls.pop()) < len(kinds):
            raise kinds[roll]

    for one in shelves:
        one.script = script
    many = data.draw(st.booleans())
    capacity = data.draw(st.sampled_from([None, 5000]))
    specs = [shelf(f"t{n}", one, many=many, capacity=capacity) for n, one in enumerate(shelves)]
    payloads = [
        bytes([n]) * size for n, size in enumerate(data.draw(st.lists(st.integers(0, 2000), max_size=8)))
    ]
    acknowledged: dict[Cid, bytes] = {}
    path = tmp_path_factory.mktemp("stack")
    with open_stack(path / "c", *specs, min_copies=2) as store:
        for payload in payloads:
            with suppress(StoreError):
                acknowledged[store.put(payload).cid] = payload
        for payload, answer in zip(payloads, store.put_many([b"m" + one for one in payloads]), strict=True):
            if not isinstance(answer, Exception):
                acknowledged[answer.cid] = b"m" + payload
        armed.clear()
        collected = store.gc()
        assert not any(one.refused or one.failed for one in collected)
        accounts_right(store, *shelves)
        assert {root.cid for root in store.roots()} == set(acknowledged)
        for cid, payload in acknowledged.items():
            assert store.get(cid) == payload
            assert sum(str(cid.key) in one.held for one in shelves) >= 2
        kept = {str(key) for cid in acknowledged for key in (cid.key,)}
        for one in shelves:
            assert set(one.held) <= kept
            assert capacity is None or one.most <= capacity


def test_a_dag_store_and_a_bytes_store_together(stack: Callable[..., Store], tmp_path: Path) -> None:
    medium, one = DagMedium(), Shelf()
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_bytes(BIG)
    (folder / "b").write_bytes(SMALL)
    store = stack(dag("dag", medium), shelf("one", one), min_copies=2)
    receipt = store.put_dir(folder)
    assert receipt.copies == ("dag", "one")
    assert [finding.ok for finding in store.verify()] == [True] * 5
    assert list(medium.roots) == [receipt.cid]
    medium.down = True
    with pytest.raises(NotDurable):
        store.put(b"not on both")
    medium.down = False
    assert sum(one.blobs for one in store.gc()) == 1
