from __future__ import annotations

import random
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.policy import Index, LruIndex, LruRanker, Ranker, make_index, make_ranker
from ziggurat.testing._policy_model import Row

CAPACITY = 20
keys = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hit"), keys, st.just(0)),
        st.tuples(st.just("admit"), keys, st.integers(0, CAPACITY + 5)),
        st.tuples(st.just("drop"), keys, st.just(0)),
    ),
    max_size=60,
)


class Naive:
    """A list, coldest first; hits count at once."""

    def __init__(self):
        self.rows: list[tuple[str, int]] = []

    def size(self, key):
        return dict(self.rows).get(key)

    def hit(self, key):
        size = self.size(key)
        if size is not None:
            self.rows.remove((key, size))
            self.rows.append((key, size))

    def drop(self, key):
        size = self.size(key)
        if size is None:
            return False
        self.rows.remove((key, size))
        return True

    def admit(self, key, size):
        if size > CAPACITY:
            return None
        if self.size(key) == size:
            self.hit(key)
            return ()
        victims = [key] if self.drop(key) else []
        while sum(row[1] for row in self.rows) + size > CAPACITY:
            victims.append(self.rows.pop(0)[0])
        self.rows.append((key, size))
        return tuple(victims)


@settings(deadline=None)
@given(steps)
def test_it_is_the_naive_list(steps):
    index, naive = LruIndex(CAPACITY), Naive()
    resident: dict[str, int] = {}
    for what, key, size in steps:
        if what == "hit":
            index.hit(key)
            naive.hit(key)
        elif what == "drop":
            assert index.drop(key) is naive.drop(key)
            resident.pop(key, None)
        else:
            victims = index.admit(key, size)
            assert victims == naive.admit(key, size)
            if victims is not None:
                for victim in victims:  # each names bytes that are there
                    del resident[victim]
                resident[key] = size
        assert index.bytes == sum(resident.values()) <= CAPACITY
        assert len(index) == len(resident)
        assert {key for key in "abcdefgh" if key in index} == resident.keys()


def test_a_hit_is_an_append():
    index = LruIndex(10)
    assert index.hit.__self__ is index._hits
    assert index.hit.__name__ == "append"


def test_hits_are_bounded_and_the_newest_count():
    index = LruIndex(3)
    for key in "abc":
        index.admit(key, 1)
    for _ in range(50_000):
        index.hit("b")
    index.hit("a")
    assert len(index._hits) < 20_000
    assert index.admit("d", 2) == ("c", "b")


def test_hits_on_what_is_gone_are_ignored():
    index = LruIndex(3)
    index.admit("a", 1)
    index.hit("a")
    index.hit("never")
    index.drop("a")
    assert index.admit("b", 3) == ()
    assert "never" not in index


def test_an_empty_blob_and_no_capacity():
    index = LruIndex(0)
    assert index.admit("empty", 0) == ()
    assert index.admit("one", 1) is None
    assert (len(index), index.bytes) == (1, 0)


def test_sizes_beyond_the_shared_ones_stay_exact():
    index = LruIndex(10**12)
    total = 0
    for size in range(6000):
        index.admit(str(size), size + 10**6)
        total += size + 10**6
    assert index.bytes == total
    for size in range(6000):
        index.drop(str(size))
    assert (index.bytes, len(index)) == (0, 0)


def test_threads_keep_the_accounts_exact():
    capacity = 5_000
    index, lock = LruIndex(capacity), threading.Lock()
    backend: dict[str, int] = {}
    problems: list[str] = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(3_000):
            key = f"k{rng.randrange(300)}"
            what = rng.random()
            if what < 0.5:
                index.hit(key)
            elif what < 0.9:
                with lock:  # the caller's lock, as the protocol asks
                    victims = index.admit(key, rng.randrange(1, 200))
                    for victim in victims or ():
                        del backend[victim]
                    backend[key] = index._order[key]
                    if sum(backend.values()) > capacity:
                        problems.append(key)
            else:
                with lock:
                    if index.drop(key):
                        del backend[key]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert index._order == backend
    assert index.bytes == sum(backend.values()) <= capacity


def test_hits_during_admissions_lose_nothing_but_order():
    index, stop = LruIndex(100), threading.Event()

    def hit():
        while not stop.is_set():
            for number in range(50):
                index.hit(str(number))

    threads = [threading.Thread(target=hit) for _ in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 0.3
    number = 0
    while time.monotonic() < end:
        index.admit(str(number % 200), 1 + number % 7)
        number += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert index.bytes == sum(index._order.values()) <= 100


def test_the_ranker_puts_the_oldest_first_and_keeps_ties_in_order():
    rows = [Row("a", 1, 5.0, 9), Row("b", 1, 2.0, 1), Row("c", 9, 5.0, 1), Row("d", 1, 1.0, 1)]
    before = list(rows)
    assert [row.key for row in LruRanker().rank(rows, 10.0)] == ["d", "b", "a", "c"]
    assert rows == before
    assert LruRanker().rank([], 10.0) == []


def test_the_makers_make_what_the_protocols_say():
    index: Index = make_index(7)
    ranker: Ranker = make_ranker()
    assert index.capacity == 7
    assert index.bytes == 0
    assert ranker.rank((), 0.0) == []
