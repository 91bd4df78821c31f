import random

import libcachesim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.policy.arc import ArcIndex

CAPACITY = 20
keys = st.sampled_from("abcdefghijklmnopqrst")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), keys, st.integers(0, 8)),
        st.tuples(st.just("admit"), keys, st.integers(0, CAPACITY + 3)),
        st.tuples(st.just("drop"), keys, st.just(0)),
    ),
    max_size=120,
)


class Naive:
    """The paper's four lists as lists of (key, size), coldest first, all of them looked through each time."""

    def __init__(self, capacity):
        self.capacity, self.target = capacity, 0.0
        self.lists = {"t1": [], "t2": [], "b1": [], "b2": []}

    def total(self, *names):
        return sum(size for name in names for _, size in self.lists[name])

    def find(self, key, *names):
        for name in names:
            for row in self.lists[name]:
                if row[0] == key:
                    return name, row
        return None, None

    def resident(self):
        return dict(self.lists["t1"] + self.lists["t2"])

    def drop(self, key):
        name, row = self.find(key, "t1", "t2")
        if row:
            self.lists[name].remove(row)
        return row is not None

    def hit(self, key):
        name, row = self.find(key, "t1", "t2")
        if row:
            self.lists[name].remove(row)
            self.lists["t2"].append(row)

    def admit(self, key, size):
        if size > self.capacity:
            return None
        victims = []
        if key in self.resident():
            if self.resident()[key] == size:
                self.hit(key)
                return ()
            self.drop(key)
            victims, ghost = [key], None
            to = "t2"
        else:
            ghost, row = self.find(key, "b1", "b2")
            b1, b2 = max(1, self.total("b1")), max(1, self.total("b2"))
            if ghost == "b1":
                self.target = min(self.capacity, self.target + size * max(1, b2 / b1))
            elif ghost == "b2":
                self.target = max(0, self.target - size * max(1, b1 / b2))
            if ghost:
                self.lists[ghost].remove(row)
            to = "t2" if ghost else "t1"
        while self.total("t1", "t2") + size > self.capacity:
            t1 = self.total("t1")
            over = t1 > self.target or (ghost == "b2" and t1 == self.target)
            source = "1" if self.lists["t1"] and (over or not self.lists["t2"]) else "2"
            victim = self.lists["t" + source].pop(0)
            victims.append(victim[0])
            if victim[1]:
                self.lists["b" + source].append(victim)
        self.lists[to].append((key, size))
        while self.lists["b1"] and self.total("t1", "b1") > self.capacity:
            self.lists["b1"].pop(0)
        while self.lists["b2"] and self.total("t1", "t2", "b1", "b2") > 2 * self.capacity:
            self.lists["b2"].pop(0)
        return tuple(victims)


@settings(deadline=None, max_examples=300)
@given(steps)
def test_it_is_the_naive_lists(steps):
    index, naive = ArcIndex(CAPACITY), Naive(CAPACITY)
    for what, key, size in steps:
        if what == "drop":
            assert index.drop(key) is naive.drop(key)
        elif what == "ask" and key in index:
            index.hit(key)
            naive.hit(key)
        else:
            assert index.admit(key, size) == naive.admit(key, size)
            assert index.target == naive.target
            assert index.ghosts == len(naive.lists["b1"]) + len(naive.lists["b2"])
        assert {key for key in "abcdefghijklmnopqrst" if key in index} == naive.resident().keys()
        assert index.bytes == sum(naive.resident().values()) <= CAPACITY


def same_as_libcachesim(capacity, requests):
    index, peer, request = ArcIndex(capacity), libcachesim.ARC(capacity), libcachesim.Request()
    request.obj_size = 1
    for at, number in enumerate(requests):
        request.obj_id, key = number, str(number)
        resident = key in index
        if resident:
            index.hit(key)
        else:
            index.admit(key, 1)
        assert peer.get(request) is resident, f"request {at}"


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 12), st.lists(st.integers(0, 30), max_size=300))
def test_with_sizes_of_one_it_decides_as_libcachesim(capacity, requests):
    same_as_libcachesim(capacity, requests)


@pytest.mark.parametrize("capacity", [10, 100, 1_000])
def test_it_decides_as_libcachesim_on_changing_loads(capacity):
    rng, requests = random.Random(capacity), []
    for phase in range(12):
        hot = rng.randrange(5_000)
        for _ in range(2_500):
            if phase % 3 == 2 and rng.random() < 0.5:
                requests.append(10_000 + len(requests))  # a scan
            else:
                requests.append(hot + int(rng.paretovariate(0.7)) % (3 * capacity))
    same_as_libcachesim(capacity, requests)


def test_a_scan_does_not_wash_out_what_is_used():
    index = ArcIndex(100)
    for _ in range(3):
        for number in range(50):
            key = f"used-{number}"
            if key in index:
                index.hit(key)
            else:
                index.admit(key, 1)
    for number in range(10_000):
        index.admit(f"scan-{number}", 1)
    assert sum(f"used-{number}" in index for number in range(50)) == 50


def test_a_hit_is_an_append():
    index = ArcIndex(10)
    assert index.hit.__self__ is index._hits
    assert index.hit.__name__ == "append"
