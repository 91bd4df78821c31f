import math
import random
import subprocess
import sys
import tracemalloc

import pytest

from ziggurat.policy import Forecaster, Learner, heat, lru
from ziggurat.policy.arc import ArcIndex
from ziggurat.policy.heat import HeatIndex, HeatParameters

BLOCK = 100


def index_of(blocks, seed=1, state=None, **parameters):
    return HeatIndex(blocks * BLOCK, HeatParameters(**parameters), random.Random(seed), state)


def missed(index, keys, size=BLOCK):
    misses = 0
    for key in keys:
        if key in index:
            index.hit(key)
        else:
            misses += 1
            index.admit(key, size)
    return misses


def zipf_with_scans(number, seed=3):
    """Some are asked for often, half of the requests are for blocks that never come back."""
    rng = random.Random(seed)
    for at in range(number):
        yield f"once-{at}" if rng.random() < 0.5 else f"hot-{int(rng.paretovariate(0.4)) % 3_000}"


@pytest.mark.parametrize("misses", [0.0, 0.5, 1.0])
def test_it_keeps_what_is_asked_for(misses):
    by_heat = missed(index_of(400, misses=misses), zipf_with_scans(40_000))
    by_lru = missed(lru.LruIndex(400 * BLOCK), zipf_with_scans(40_000))
    by_arc = missed(ArcIndex(400 * BLOCK), zipf_with_scans(40_000))
    assert by_heat < 0.97 * by_lru
    assert by_heat < 1.01 * by_arc


def test_it_learns_a_loop_that_lru_always_misses():
    loop = [f"k{number}" for _ in range(30) for number in range(600)]
    assert missed(lru.LruIndex(400 * BLOCK), loop) == len(loop)
    assert missed(index_of(400), loop) < 0.7 * len(loop)


def test_the_guard_holds_first_and_lets_go():
    index = index_of(400)
    assert index.rule == "slru"
    loop = [f"k{number}" for _ in range(30) for number in range(600)]
    missed(index, loop)
    assert index.rule == "heat"
    assert index_of(400, guard=False).rule == "heat"


def test_shadows_stay_small_in_a_large_cache():
    index = index_of(20_000)
    rng = random.Random(1)
    missed(index, (str(rng.randrange(60_000)) for _ in range(60_000)))
    assert index._guard.residents < 2 * 900
    assert index._guard.mask >= 15


def test_weight_of_misses_favours_small_blocks():
    rng = random.Random(9)
    requests = [
        (f"{size}-{int(rng.paretovariate(0.3)) % 400}", size) for size in (10, 1_000) for _ in range(1)
    ]
    requests = [
        (f"{size}-{int(rng.paretovariate(0.3)) % 400}", size) for size in rng.choices((10, 1_000), k=20_000)
    ]
    counts = {}
    for misses in (0.0, 1.0):
        index, found = HeatIndex(60_000, HeatParameters(misses=misses), random.Random(1)), 0
        for key, size in requests:
            if key in index:
                index.hit(key)
            else:
                found += 1
                index.admit(key, size)
        counts[misses] = found
    assert counts[1.0] < 0.9 * counts[0.0]


def test_history_survives_eviction_and_drop():
    index = index_of(50, guard=False)
    for number in range(3):
        index.admit("mine", BLOCK)
        index.drop("mine")
        assert "mine" not in index
        for other in range(20):
            index.admit(f"{number}-{other}", BLOCK)
    index.admit("mine", BLOCK)
    residents = index._residents
    assert residents.entries[residents.slots["mine"]] & 15 == 4


def test_quiet_hits_change_nothing():
    index = index_of(1_000, guard=False)
    for number in range(1_000):
        index.admit(str(number), BLOCK)
    before = list(index._hazards.reuses)
    for _ in range(50):
        index.hit("999")
    index.admit("other", BLOCK)
    slot = index._residents.slots.get("999")
    assert slot is None or index._residents.entries[slot] & 15 == 1
    assert sum(index._hazards.reuses) == sum(before)


def test_it_forecasts():
    index = index_of(100)
    assert isinstance(index, Forecaster)
    assert isinstance(index, Learner)
    missed(index, zipf_with_scans(5_000))
    found = [index.forecast(key) for key in index._residents.slots]
    assert all(forecast.value > 0 and forecast.unit == "accesses" for forecast in found)
    assert any(forecast.next_use is not None for forecast in found)
    assert index.forecast("never") is None


def test_state_per_resident_is_small():
    number = 20_000
    keys = [f"bafkreih{at:052d}" for at in range(number)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fresh = index_of(number)
    for key in keys:
        fresh.admit(key, BLOCK)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert fresh.ghosts == 0
    assert used / number <= 250, used / number


def test_ghost_memory_is_bounded():
    index = index_of(500)
    for number in range(30_000):
        index.admit(str(number), BLOCK)
    assert index._residents.ghosts.nbytes / 500 <= 150


def test_every_process_decides_alike():
    code = (
        "import random; from ziggurat.policy.heat import *; rng = random.Random(3);"
        "index = HeatIndex(5000, HeatParameters(), random.Random(1)); out = [];"
        "[out.extend(index.admit(str(int(rng.paretovariate(0.5)) % 900), 50)) for _ in range(4000)];"
        "print(hash(tuple(map(int, out))))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@pytest.mark.parametrize(
    "parameters", [{"misses": 1.5}, {"misses": -0.1}, {"misses": "0"}, {"misses": math.nan}, {"guard": 1}]
)
def test_parameters_are_checked(parameters):
    with pytest.raises((ValueError, TypeError)):
        heat.HeatParameters(**parameters)
