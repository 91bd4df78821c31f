"""Blobs of one block on tiers that are far away, and the caches that are filled with several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.rigged import Rig, cache, rig_type, store

from ziggurat import Cid, Store
from ziggurat.backend import Stat
from ziggurat.engine import filler
from ziggurat.errors import BlobNotFound, CorruptBlob, StoreUnavailable, TierFull, TierUnavailable

Make = Callable[..., Store]
FAR = rig_type(local=False)
DATA = b"a blob that is one block"


def far(make: Make) -> tuple[Store, Rig, Rig, Cid]:
    """Two stores that both hold DATA; the first is read first."""
    a, b = Rig(), Rig()
    stack = make(store("a", a, kind=FAR), store("b", b, kind=FAR), min_copies=2)
    cid = stack.put(DATA).cid
    assert cid.key == str(cid)
    a.forget()
    b.forget()
    return stack, a, b, cid


def test_one_call_gives_it(make: Make) -> None:
    stack, a, b, cid = far(make)
    assert stack.get(cid) == DATA
    assert (a.reads(), b.reads()) == ([(str(cid), None)], [])
    assert list(stack.failures()) == []


@pytest.mark.parametrize("wrong", ["a lie", "down"])
def test_a_tier_that_fails_is_asked_once_and_told_of(make: Make, wrong: str) -> None:
    stack, a, b, cid = far(make)
    a.down = wrong == "down"
    a.flip(cid.key)
    assert stack.get(cid) == DATA
    assert (len(a.reads()), len(b.reads())) == (1, 1)
    expected = TierUnavailable if wrong == "down" else CorruptBlob
    assert [type(failure) for failure in stack.failures()] == [expected]
    b.flip(cid.key)
    with pytest.raises(StoreUnavailable) as caught:
        stack.get(cid)
    assert [failure.tier for failure in caught.value.failures] == ["a", "b"]  # type: ignore[attr-defined] # tier errors


def test_what_is_absent_is_not_asked_for_at_once_again(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig, kind=FAR))
    stack.put(DATA)
    absent = Cid.of(b"never put")
    rig.forget()
    for _ in range(3):
        with pytest.raises(BlobNotFound):
            stack.get(absent)
    assert len(rig.reads()) == 1
    assert stack.put(b"never put").cid == absent
    assert stack.get(absent) == b"never put"


@pytest.mark.parametrize("kind", [FAR, rig_type()], ids=["far", "near"])
def test_a_tier_that_was_passed_over_is_told_of(make: Make, kind: Any) -> None:
    a, b = Rig(), Rig()
    first = make(store("a", a, kind=kind), store("b", b, kind=kind), min_copies=2)
    cid = first.put(DATA).cid
    again = make(store("a", a, kind=kind), store("b", b, kind=kind))
    a.down = True
    assert again.get(cid) == DATA
    assert [failure.tier for failure in again.failures()] == ["a"]  # type: ignore[attr-defined] # tier errors


# -- caches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", ["one", "all", "the call"])
def test_a_cache_that_refuses_some_of_several_blocks(
    make: Make, refused: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filler, "_QUIET", 1.0)  # so that they all come at once
    rig, keeper = Rig(), Rig()
    tier = cache("c", rig, kind=rig_type(durable=True))
    batches: list[int] = []

    def put_many(items: Sequence[tuple[str, bytes, None]]) -> list[Stat | TierFull]:
        batches.append(len(items))
        if refused == "the call":
            raise TierFull("no room for any")
        answers: list[Stat | TierFull] = []
        for number, (key, data, _) in enumerate(items):
            if refused == "all" or number == 1:
                answers.append(TierFull("no room"))
            else:
                rig.held[str(key)] = data
                answers.append(Stat(size=len(data), stored=len(data)))
        return answers

    object.__setattr__(tier.hooks, "put_many", put_many)
    stack = make(tier, store("a", keeper))
    cids = [stack.put(b"block %d" % number).cid for number in range(5)]
    for cid in cids:
        stack.get(cid)
    stack.close()
    assert batches == [5]
    assert len(rig.held) == (4 if refused == "one" else 0)
    assert caplog.text.count("no room") == {"one": 1, "all": 5, "the call": 1}[refused]
    assert len({str(cid) for cid in cids} - set(rig.held)) == (1 if refused == "one" else 5)
