"""The order in which residents go, against a plain search for the worst; and segmented LRU against a list."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.policy.hazards import Hazards
from ziggurat.policy.history import LEVELS, OCTAVES
from ziggurat.policy.residents import Residents
from ziggurat.policy.segments import Segments

accesses = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), max_size=300)


def residents_after(steps: list[tuple[int, int]], misses: float, seed: int) -> tuple[Residents[int], int]:
    """A cache after accesses by tables at random, and the time."""
    hazards, rng = Hazards(b"a"), random.Random(seed)
    hazards.values[:] = [rng.random() for _ in hazards.values]
    residents, now = Residents[int](900, hazards, rng, misses, 0.0, learn=False), 0
    for key, pause in steps:
        now += pause
        residents.access(key, key + 1, 1 << key % 6, now)
    return residents, now


def drained(residents: Residents[int], now: int) -> list[float]:
    """What each resident was worth, as they go."""
    residents.rule = (
        "slru" if residents.rule == "heat" else "heat"
    )  # whoever waits for its turn is asked anew
    residents.rule = "slru" if residents.rule == "heat" else "heat"
    values, before = [], {slot: residents.value(slot, now) for slot in residents.slots.values()}
    slots = dict(residents.slots)
    while residents.slots:
        residents.capacity = residents.bytes - 1
        here = set(residents.slots)
        residents.shrink(now)
        gone = here - set(residents.slots)
        assert len(gone) == 1
        values.append(before[slots[gone.pop()]])
    return values


@given(steps=accesses, seed=st.integers(0, 9), rule=st.sampled_from(["heat", "slru"]))
def test_the_worst_goes_first_and_each_goes_once(steps, seed, rule):
    residents, now = residents_after(steps, 0.0, seed)
    residents.rule = rule
    number = len(residents.slots)
    values = drained(residents, now)
    assert values == sorted(values)
    assert (len(values), residents.bytes) == (number, 0)


@given(steps=accesses.filter(bool), seed=st.integers(0, 9))
def test_sizes_weigh_when_blocks_count(steps, seed):
    residents, now = residents_after(steps, 1.0, seed)
    mean = residents.bytes / len(residents.slots)
    sizes = {key: residents.sizes[slot] for key, slot in residents.slots.items()}
    worth = {
        key: residents.hazards.values[residents.cell(slot) + (now - residents.last(slot)).bit_length()]
        * mean
        / sizes[key]
        for key, slot in residents.slots.items()
    }
    residents.rule = "slru"
    residents.rule = "heat"
    here = set(residents.slots)
    residents.capacity = residents.bytes - 1
    residents.shrink(now)
    for gone in here - set(residents.slots):
        assert (
            worth[gone] <= min(worth.values()) * 1.0000001
        )  # sizes are powers of two: an octave holds one size


def test_places_are_bounded_in_a_cache_that_is_never_full():
    residents = Residents[int](10_000, Hazards(b"a"), random.Random(1), 0.0, 0.0, learn=True)
    for now in range(50_000):
        residents.access(now % 100, now % 100 + 1, 1, now)
    places = sum(len(queue.entries) for queue in residents._order._queues.values())
    assert places <= 2 * 100 + 64


@pytest.mark.parametrize("rule", ["heat", "slru"])
def test_places_of_many_who_left_are_not_searched_for_ever(rule):
    residents = Residents[int](50_000, Hazards(b"a"), random.Random(1), 0.0, 0.0, learn=True)
    residents.rule = rule
    for now in range(50_000):
        residents.access(now, now + 1, 1, now)
    for now in range(50_000, 50_100):
        residents.access(now, now + 1, 10_000, now)
    assert len(residents.slots) == 5
    assert sum(len(queue.entries) for queue in residents._order._queues.values()) < 2_000


def test_places_are_bounded_while_the_clock_stands():
    residents = Residents[int](10_000, Hazards(b"m"), random.Random(1), 0.0, 0.0, learn=False)
    for step in range(20_000):
        residents.access(step % 100, step % 100 + 1, 1, 7)
    assert sum(len(queue.entries) for queue in residents._order._queues.values()) <= 2 * 100 + 64


def test_slots_of_those_who_left_are_taken_again():
    residents = Residents[int](100, Hazards(b"a"), random.Random(1), 0.0, 0.0, learn=True)
    for now in range(5_000):
        residents.access(now, now + 1, 1 + now % 3, now)
        residents.expose(now)
    assert len(residents.entries) <= 100
    assert sum(entry >= 0 for entry in residents.entries) == len(residents.slots)
    assert sum(residents.sizes[slot] for slot in residents.slots.values()) == residents.bytes <= 100
    assert any(residents.hazards.risks[:OCTAVES])


@settings(max_examples=200)
@given(
    steps=st.lists(st.tuples(st.integers(0, 15), st.integers(1, 9), st.integers(0, LEVELS - 1)), max_size=80),
    capacity=st.integers(1, 40),
    mask=st.sampled_from([0, 1, 3]),
)
def test_segments_do_what_a_list_does(steps, capacity, mask):
    cache, plain = Segments(capacity), []
    for key, size, level in steps:
        assert cache.access(key, size, level) is any(key == known for _, known, _ in plain)
        plain = [row for row in plain if row[1] != key]
        if size <= capacity:
            while sum(row[2] for row in plain) + size > capacity:
                plain.remove(min(plain, key=lambda row: row[0]))  # the first of the lowest level
            plain.append((level, key, size))
        assert (len(cache), cache.bytes) == (len(plain), sum(row[2] for row in plain))
    cache.keep(mask)
    kept = [row for row in plain if not row[1] & mask]
    assert (len(cache), cache.bytes) == (len(kept), sum(row[2] for row in kept))
