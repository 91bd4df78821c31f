"""Policies of others that fail, wherever they do: a cache fails no read and keeps its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from attrs import frozen
from tests.support.stacks import Shelf, disk, memory, open_stack, shelf

from ziggurat.config.model import PolicyConfig
from ziggurat.engine.caches import VolatileCache
from ziggurat.errors import PluginError
from ziggurat.plugin.registry import Provider
from ziggurat.policy import Forecast, LruIndex, PolicyType

from .test_policies import blobs, used


class Broken:
    """An index that fails whenever it is asked to decide."""

    hit = staticmethod(lambda key: None)
    capacity, bytes, ghosts = 10**6, 0, 0

    def admit(self, key: str, size: int) -> None:
        raise ZeroDivisionError("no decision")

    def __contains__(self, key: object) -> bool:
        raise ZeroDivisionError

    def __len__(self) -> int:
        return 0


@frozen
class Nothing:
    """No parameters."""


def test_a_policy_that_fails_fails_no_read(tmp_path: Path) -> None:
    type_: Any = PolicyType("broken", "", Nothing, index=lambda *given: Broken())  # type: ignore[arg-type] # broken
    spec = memory("ram", 10**6)
    spec.more["policy"] = PolicyConfig(Provider("broken", "elsewhere", "1"), type_, Nothing())
    with open_stack(tmp_path / "catalog", spec, shelf("far", Shelf())) as store:
        ((cid, data),) = blobs(store, [1000])
        for _ in range(3):
            assert store.get(cid) == data
        assert any("no decision" in str(error) for error in store.failures())
        assert store.explain(cid).expected == ()
        assert used(store)["ram"] == 0


class FailsAt:
    """Least recently used, but one of its methods always fails."""

    def __init__(self, capacity: int, method: str) -> None:
        self._index, self._method = LruIndex(capacity), method

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            return self._fail
        if name in ("exchange", "forecast"):
            return lambda *given: b"" if name == "exchange" else None
        return getattr(self._index, name)

    def _fail(self, *given: object) -> None:
        raise ZeroDivisionError(f"{self._method} has a bug")

    def exchange(self, kept: bytes | None) -> bytes:
        return cast("bytes", self.__getattr__("exchange")(kept))

    def forecast(self, key: str) -> Any:
        return self.__getattr__("forecast")(key)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        return key in self._index


@pytest.mark.parametrize("method", ["hit", "admit", "drop", "exchange", "forecast"])
def test_wherever_a_policy_fails_reads_go_on(tmp_path: Path, method: str) -> None:
    type_: Any = PolicyType("broken", "", Nothing, index=lambda size, *given: FailsAt(size, method))
    spec = memory("ram", 2500)
    spec.more["policy"] = PolicyConfig(Provider("broken", "elsewhere", "1"), type_, Nothing())
    with open_stack(tmp_path / "catalog", spec, shelf("far", Shelf())) as store:
        known = blobs(store, [1000] * 5)
        cache = cast("VolatileCache", store._stack().caches.caches[0])
        experience = cache._experience
        assert experience is not None
        experience._next = 0.0
        for _ in range(4):
            for cid, data in known:
                assert store.get(cid) == data
                cache.lookup(cid.cache_key)
        store.evict(known[-1][0], "ram")
        for cid, data in known:
            assert store.get(cid) == data
            store.explain(cid)
        store.stats()
        assert any(f"{method} has a bug" in str(error) for error in store.failures())


class RanksBut:
    """The oldest first, but one of its methods always fails."""

    def __init__(self, method: str) -> None:
        self._method = method

    def _do(self, method: str, result: Any) -> Any:
        if method == self._method:
            raise ZeroDivisionError(f"{method} has a bug")
        return result

    def rank(self, rows: Any, now: float) -> Any:
        return self._do("rank", list(rows))

    def forecast(self, row: Any, now: float) -> Any:
        return self._do("forecast", Forecast(row.last, None, "seconds"))

    def seen(self, row: Any, now: float) -> float:
        return cast("float", self._do("seen", 0.0))

    def watch(self, *given: object) -> None:
        self._do("watch", None)

    def exchange(self, kept: bytes | None) -> bytes:
        return cast("bytes", self._do("exchange", b""))


@pytest.mark.parametrize("method", ["rank", "forecast", "seen", "watch", "exchange"])
def test_wherever_a_ranker_fails_reads_go_on(tmp_path: Path, method: str) -> None:
    type_: Any = PolicyType("broken", "", Nothing, ranker=lambda *given: RanksBut(method))
    shelves = Shelf()
    known: list[Any] = []
    for capacity in (2500, 1500):  # a smaller one evicts while it opens
        ssd = disk("ssd", tmp_path / "ssd", role="cache", capacity=capacity)
        ssd.more["policy"] = PolicyConfig(Provider("broken", "elsewhere", "1"), type_, Nothing())
        with open_stack(tmp_path / "catalog", ssd, shelf("far", shelves)) as store:
            known = known or blobs(store, [1000] * 5)
            for _ in range(3):
                for cid, data in known:
                    assert store.get(cid) == data
                store._stack().filler.drain()
            for cid, _ in known:
                store.explain(cid)
            used_now = used(store)["ssd"]
            assert used_now is not None
            assert 0 < used_now <= capacity
            stack = store._stack()
        assert any(f"{method} has a bug" in str(error) for error in stack.failures)


def test_a_policy_that_cannot_be_made_is_blamed_by_name(tmp_path: Path) -> None:
    type_: Any = PolicyType("broken", "", Nothing, index=lambda *given: 1 / 0)  # type: ignore[arg-type] # broken
    spec = memory("ram", 10**6)
    spec.more["policy"] = PolicyConfig(Provider("broken", "elsewhere", "1"), type_, Nothing())
    with pytest.raises(PluginError, match="'broken' of elsewhere 1 raised ZeroDivisionError"):
        open_stack(tmp_path / "catalog", spec, shelf("far", Shelf()))
