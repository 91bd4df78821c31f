"""History of evicted blocks and what policies learned: bounded, shared, and told in the right order."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.catalog import Access, Catalog, ghosts
from ziggurat.catalog.records import CacheRow
from ziggurat.policy import STATE_LIMIT
from ziggurat.policy.rounds import GHOSTS, LEAST_GHOSTS

MEDIUM = "ssd"


class Witness:
    """A ranker that evicts the oldest and writes down what it was told."""

    def __init__(self) -> None:
        self.seen_rows: list[tuple[str, int, float]] = []
        self.watched: list[tuple[int, int, int, int]] = []

    def rank(self, rows: Any, now: float) -> Any:
        return sorted(rows, key=lambda row: row.last)

    def forecast(self, row: Any, now: float) -> Any:
        raise AssertionError

    def seen(self, row: Any, now: float) -> float:
        self.seen_rows.append((row.key, row.count, now))
        return float(row.gap) + 1

    def watch(self, residents: Any, entries: int, ghosts: Any, gone: int, now: float) -> None:
        self.watched.append((len(residents), entries, len(ghosts), gone))


def admit(catalog: Catalog, policy: Witness, key: str, size: int, capacity: int, now: float) -> Any:
    cache = catalog.cache
    admission = cache.begin_admit(MEDIUM, [(key, size)], capacity, policy.rank, now, policy)
    granted = cache.finish_admit(admission, admission.victims, now, policy)
    cache.settle(MEDIUM, [key for key, _ in granted])
    return admission


def test_an_evicted_block_comes_back_with_its_history(catalog: Catalog) -> None:
    catalog.cache.adopt(MEDIUM, [], 0.0)
    policy = Witness()
    admit(catalog, policy, "a", 60, 100, 10.0)
    catalog.cache.seen(MEDIUM, [("a", 20.0), ("nobody", 21.0), ("a", 30.0)], policy)
    assert policy.seen_rows == [("a", 0, 10.0), ("a", 1, 20.0), ("a", 2, 30.0)]
    gone = admit(catalog, policy, "b", 60, 100, 40.0)
    assert gone.ages == {"a": 30.0}
    assert policy.watched == [(1, 1, 0, 0)]
    back = admit(catalog, policy, "a", 60, 100, 55.0)
    assert back.ages == {"b": 15.0}
    assert policy.seen_rows[-1] == ("a", 3, 55.0)
    ((row,), others) = catalog.cache.sample(MEDIUM, ["a", "b"])
    assert row == CacheRow("a", 60, 55.0, 4, 10.0, 4.0, 55.0)
    assert others == [row]


def test_a_policy_that_does_not_learn_keeps_no_history(catalog: Catalog) -> None:
    catalog.cache.adopt(MEDIUM, [], 0.0)
    policy = Witness()
    for number in range(5):
        admission = catalog.cache.begin_admit(MEDIUM, [(f"k{number}", 60)], 100, policy.rank, float(number))
        granted = catalog.cache.finish_admit(admission, admission.victims, float(number))
        catalog.cache.settle(MEDIUM, [key for key, _ in granted])
    with catalog._volatile.guard:
        assert catalog._volatile.execute("SELECT count(*) FROM ghosts").fetchall() == [(0,)]


def test_a_block_that_was_dropped_by_hand_has_no_age(catalog: Catalog) -> None:
    catalog.cache.adopt(MEDIUM, [], 0.0)
    policy = Witness()
    admit(catalog, policy, "a", 60, 100, 10.0)
    assert catalog.cache.condemn(MEDIUM, ["a"]) == ["a"]
    assert catalog.cache.drop(MEDIUM, ["a"]) == 60
    assert admit(catalog, policy, "b", 60, 100, 11.0).ages == {}


@given(st.lists(st.integers(0, 40), min_size=1, max_size=120))
def test_history_is_bounded_and_counted(keys: list[int]) -> None:
    import apsw

    from ziggurat.catalog.schema import VOLATILE

    database = apsw.Connection(":memory:")
    for _ in database.execute(VOLATILE):
        pass
    database.execute("INSERT INTO caches (id, medium, used, entries) VALUES (3, 'm', 0, 0)")
    order: list[str] = []
    for at, key in enumerate(keys):
        name = f"k{key}"
        ghosts.bury(database, 3, [CacheRow(name, 1, float(at), 1)])
        order = [each for each in order if each != name] + [name]
        if key % 5 == 0:
            assert set(ghosts.recall(database, 3, [name])) == {name}
            order.remove(name)
        ((gone,),) = database.execute("SELECT gone FROM caches").fetchall()
        rows = database.execute("SELECT key FROM ghosts ORDER BY id").fetchall()
        assert [row[0] for row in rows] == order
        assert gone == len(order)
        found, of = ghosts.sample(database, 3, random.Random(at))
        assert of == len(order)
        assert {row.key for row in found} <= set(order)


def test_history_forgets_the_oldest_first(catalog: Catalog) -> None:
    catalog.cache.adopt(MEDIUM, [], 0.0)
    policy = Witness()
    for number in range(LEAST_GHOSTS + 60):
        admit(catalog, policy, f"k{number}", 60, 100, float(number))
    with catalog._volatile.guard:
        rows = catalog._volatile.execute("SELECT key FROM ghosts ORDER BY id").fetchall()
    assert len(rows) == LEAST_GHOSTS
    assert rows[-1] == (f"k{LEAST_GHOSTS + 58}",)
    assert GHOSTS >= 1
    drawn = [number for number, _, found, _ in policy.watched[-50:] for _ in range(found)]
    assert len(drawn) > 50, "a sample of history is shown at each eviction"


def test_what_was_learned_survives_and_is_joined_by_processes(tmp_path: Path) -> None:
    with Catalog.open(tmp_path) as one, Catalog.open(tmp_path) as two:
        assert one.learned.of("ssd", "heat") is None
        threads = [
            threading.Thread(
                target=lambda each=each: [
                    each.learned.exchange("ssd", "heat", lambda kept: (kept or b"") + b"x") for _ in range(50)
                ]
            )
            for each in (one, two)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Catalog.open(tmp_path) as again:
        assert again.learned.of("ssd", "heat") == b"x" * 100
        again.learned.exchange("ssd", "other", lambda kept: b"new" if kept is None else b"")
        assert again.learned.of("ssd", "heat") is None, "a change of policy begins anew"
        again.learned.exchange("ssd", "other", lambda kept: bytes(STATE_LIMIT + 1))
        assert again.learned.of("ssd", "other") is None, "what is too large is not kept"


def test_a_learner_that_fails_changes_nothing(catalog: Catalog) -> None:
    catalog.learned.exchange("ssd", "heat", lambda kept: b"good")

    def broken(kept: bytes | None) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        catalog.learned.exchange("ssd", "heat", broken)
    assert catalog.learned.of("ssd", "heat") == b"good"


def test_the_first_access_is_kept_with_the_last(catalog: Catalog) -> None:
    catalog.accesses.count({"a": (1, 100.0)})
    catalog.accesses.count({"a": (1, 300.0)})
    catalog.accesses.count({"a": (1, 200.0)})
    assert catalog.accesses.of("a") == Access(3, 300.0, 100.0)
