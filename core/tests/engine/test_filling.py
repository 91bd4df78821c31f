"""When persistent caches are filled: while readers rest, and at the latest after a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from tests.support.rigged import PASS, Rig, cache, rig_type, store

from ziggurat import Cid, Store
from ziggurat.engine import filler

Make = Callable[..., Store]
FOREVER = 3600.0


@pytest.fixture(autouse=True)
def nobody_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filler, "_QUIET", FOREVER)
    monkeypatch.setattr(filler, "_LONGEST", FOREVER)


class Cached:
    """A store under a persistent cache, whose medium tells when it is filled."""

    def __init__(self, make: Make) -> None:
        self.rig, self.filled = Rig(), threading.Event()
        self.rig.on = self._on
        self.stack = make(cache("c", self.rig, kind=rig_type(durable=True)), store("s", Rig()))

    def _on(self, hook: str, *_: object) -> object:
        if hook == "put":
            self.filled.set()
        return PASS

    def read(self) -> Iterator[Cid]:
        """Put and read one blob after another."""
        for number in count():
            cid = self.stack.put(b"block %d" % number).cid
            assert self.stack.get(cid) == b"block %d" % number
            yield cid


def test_a_cache_waits_while_readers_do_not_rest(make: Make) -> None:
    cached = Cached(make)
    for _, cid in zip(range(100), cached.read(), strict=False):
        assert cached.stack.get(cid)  # what waits is a hit
    assert not cached.filled.is_set()
    cached.stack.close()
    assert len(cached.rig.held) == 100


def test_who_asks_what_a_cache_holds_does_not_wait(make: Make) -> None:
    cached = Cached(make)
    cid = next(cached.read())
    cached.stack.explain(cid)
    assert cached.rig.held.keys() == {cid.cache_key}


@pytest.mark.parametrize("bound", ["_QUIET", "_LONGEST"])
def test_a_cache_is_filled_in_the_end(make: Make, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(filler, bound, 0.01)
    cached = Cached(make)
    next(cached.read())
    assert cached.filled.wait(60)


def test_a_queue_that_grows_does_not_wait(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filler, "_PRESSING", 50)
    cached = Cached(make)
    blobs = cached.read()
    for _ in range(8):  # eight times seven bytes
        assert not cached.filled.is_set()
        next(blobs)
    assert cached.filled.wait(60)
