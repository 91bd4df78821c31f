import math
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.policy import protocols
from ziggurat.policy.ghosts import Ghosts
from ziggurat.policy.hazards import Hazards
from ziggurat.policy.history import CELLS, NEW, OCTAVES, STATE_BITS, class_of, gap_after, state_after


def test_nothing_learned_means_the_newest_is_worth_most():
    hazards = Hazards(b"a")
    hazards.fit()
    for count in (1, 2, 5, 100):
        row = hazards.row(count, 3.0)
        values = hazards.values[row : row + OCTAVES]
        assert values == sorted(values, reverse=True)


def test_what_returns_soon_is_worth_more_than_what_does_not():
    hazards = Hazards(b"a")
    soon, late = hazards.row(3, 4.0), hazards.row(3, 16.0)
    for octave in range(12):
        hazards.risks[soon + octave] = hazards.risks[late + octave] = 1e6
        hazards.reuses[soon + octave] = 1e4
        hazards.reuses[late + octave] = 1e2
    hazards.fit()
    assert hazards.values[soon + 4] > 10 * hazards.values[late + 4]
    assert hazards.next_use(soon, 10) < hazards.next_use(late, 10)


def test_values_are_the_best_ratio_over_all_horizons():
    rng = random.Random(5)
    hazards = Hazards(b"a")
    for _ in range(300):
        cell = rng.randrange(len(hazards.reuses))
        hazards.reuses[cell] += rng.random() * 100
        hazards.risks[cell] += rng.random() * 10 ** rng.randrange(9)
    hazards.fit()
    row = hazards.row(3, 9.0)
    for octave in range(0, OCTAVES, 7):
        rates = hazards._rates[row + octave : row + OCTAVES]
        best = 0.0
        for horizon in range(1, len(rates) + 1):
            alive, chance, time = 1.0, 0.0, 0.0
            for at, rate in enumerate(rates[:horizon]):
                gone = -math.expm1(-rate * 2.0 ** (octave + at - 1))
                chance, time, alive = chance + alive * gone, time + alive * gone / rate, alive * (1 - gone)
            best = max(best, chance / time)
        assert hazards.values[row + octave] == pytest.approx(best, rel=2e-3)


def test_a_fit_in_steps_is_the_fit():
    one, other = Hazards(b"a"), Hazards(b"a")
    for hazards in (one, other):
        rng = random.Random(1)
        for cell in range(len(hazards.reuses)):
            hazards.reuses[cell], hazards.risks[cell] = rng.random(), rng.random() * 1e3
    one.fit()
    other.start()
    steps = sum(1 for _ in iter(other.step, False))
    assert steps > 10
    assert one.values == other.values
    assert not other.step()


@given(st.integers(1, 300), st.floats(0, 39), st.integers(0, OCTAVES - 1))
def test_gaps_and_rows_stay_in_range(count, gap, octave):
    after = gap_after(count, gap, octave)
    assert 0 <= after < OCTAVES
    row = Hazards.row(count + 1, after)
    assert row % OCTAVES == 0
    assert 0 <= row <= len(Hazards(b"a").reuses) - OCTAVES


def test_experience_of_two_adds_up_and_fades():
    one, other = Hazards(b"a"), Hazards(b"a")
    one.reuses[5], other.reuses[5], other.risks[7] = 8.0, 2.0, 4.0
    kept = other.exchange(one.exchange(None))
    assert (other.reuses[5], other.risks[7]) == (10.0, 4.0)
    one.reuses[5] += 1.0
    kept = one.exchange(kept)
    assert one.reuses[5] == 11.0
    one.halve()
    one.reuses[5] += 1.0
    kept = one.exchange(kept)
    assert one.reuses[5] == 6.5
    assert Hazards(b"a", kept).reuses[5] == 6.5
    assert Hazards(b"m", kept).reuses[5] == 0.0  # another clock
    assert len(kept) <= protocols.STATE_LIMIT


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 40), st.integers(0, 255))
def test_damaged_experience_counts_as_nothing_or_is_sound(noise, at, byte):
    hazards = Hazards(b"a")
    hazards.reuses[3] = 5.0
    kept = bytearray(hazards.exchange(None))
    kept[at % len(kept)] = byte
    for state in (noise, bytes(kept), bytes(kept) + noise):
        found = Hazards(b"a", state)
        assert all(math.isfinite(x) and x >= 0 for x in found.reuses + found.risks + found.values)


def test_a_bomb_does_not_unpack():
    bomb = b"ZHZ1a" + zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    Hazards(b"a", bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


# --- ghosts


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=400), st.integers(1, 12))
def test_ghosts_are_a_part_of_what_was_put(steps, residents):
    ghosts, told = Ghosts(), {}
    for now, (put, key) in enumerate(steps):
        hashed = key * 0x9E3779B97F4A7C15 % (1 << 62)
        if put and hashed not in told:
            ghosts.put(hashed, now << STATE_BITS | key, residents)
            told[hashed] = now << STATE_BITS | key
        else:
            found, expected = ghosts.take(hashed), told.pop(hashed, None)
            assert found < 0 or found == expected
        assert ghosts.number <= len(told)
        assert ghosts.number == sum(entry >= 0 for entry in ghosts.entries)
    assert ghosts.nbytes <= 16 * max(200, 20 * residents)


def test_ghosts_keep_about_four_for_each_resident_and_the_newest():
    ghosts, rng = Ghosts(), random.Random(1)
    hashes = [rng.getrandbits(62) | 1 for _ in range(20_000)]
    for now, hashed in enumerate(hashes):
        ghosts.put(hashed, now << STATE_BITS | NEW, 500)
    assert 1_800 <= ghosts.number <= 3_500
    assert sum(ghosts.take(hashed) >= 0 for hashed in hashes[-1_000:]) > 950
    assert all(ghosts.take(hashed) < 0 for hashed in hashes[:10_000])


def test_risks_of_any_size_can_be_fitted():
    hazards = Hazards(b"m")
    hazards.risks[0] = 1e20
    hazards.fit()
    assert all(math.isfinite(value) and value >= 0 for value in hazards.values)


def test_the_next_use_of_what_is_older_than_all_octaves():
    hazards = Hazards(b"m")
    hazards.reuses[OCTAVES - 1], hazards.risks[OCTAVES - 1] = 1e6, 1e9
    hazards.fit()
    found = hazards.next_use(0, 56 * 365 * 86_400_000)  # a clock that began in 1970 was set right
    assert found is None or found >= 0


# --- states


@given(st.lists(st.integers(0, OCTAVES - 1), max_size=20))
def test_a_state_follows_the_count_and_the_mean_of_the_gaps(octaves):
    state, count, gap = NEW, 1, 0.0
    for octave in octaves:
        state, gap, count = state_after(state, octave), gap_after(count, gap, octave), count + 1
        assert 0 <= state < 1 << STATE_BITS
        assert state & 15 == min(count, 9)
        assert gap - 1 / 8 <= (state >> 4) / 16 <= gap
    if abs(gap / 4 - round(gap / 4)) > 1 / 16:
        assert CELLS[state] == class_of(count, gap) * OCTAVES
