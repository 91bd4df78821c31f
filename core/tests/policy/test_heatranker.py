import random
import threading

from ziggurat.policy import Learner, Observer
from ziggurat.policy.guard import Guard
from ziggurat.policy.hazards import Hazards
from ziggurat.policy.heatranker import HeatRanker, hash_of
from ziggurat.policy.history import OCTAVES
from ziggurat.testing._policy_model import Row


def test_the_ranker_learns_from_rows():
    ranker = HeatRanker(0.0, False, random.Random(1))
    assert isinstance(ranker, Observer)
    assert isinstance(ranker, Learner)
    now = 1.7e9
    fast = [Row(f"fast-{n}", 1, now, 5, now - 60, 12.0) for n in range(20)]
    slow = [Row(f"slow-{n}", 1, now, 1, now - 60) for n in range(20)]
    for step in range(1, 400):
        ranker.watch(fast + slow, 40, [], 0, now + step)
        for row in fast:
            assert 0 < ranker.seen(Row(row.key, 1, now + step - 4, 5, now, 12.0), now + step) < OCTAVES
    order = ranker.rank([*fast, *slow], now + 500)
    assert {row.key[:4] for row in order[:20]} == {"slow"}
    soon, late = (ranker.forecast(rows[0], now + 500) for rows in (fast, slow))
    assert soon.value > late.value
    assert soon.unit == "seconds"


def test_gaps_of_rows_are_octaves_of_milliseconds():
    ranker = HeatRanker(0.0, True, random.Random(1))
    assert ranker.seen(Row("new", 1, 5.0, 0), 5.0) == 0.0
    assert ranker.seen(Row("again", 1, 5.0, 1), 6.024) == 10
    assert ranker.seen(Row("again", 1, 5.0, 2, 0.0, 20.0), 6.024) == 15


def test_the_guard_finds_tables_that_mislead():
    hazards = Hazards(b"m")
    for row in range(0, len(hazards.values), OCTAVES):  # the longer ago, the better: the worst there is
        hazards.values[row : row + OCTAVES] = [float(octave) for octave in range(OCTAVES)]
    guard, rng = Guard(20_000, hazards, random.Random(1), 0.0, 0.0, "heat"), random.Random(2)
    assert guard.rule == "heat"
    for now in range(20_000):
        guard.access(hash_of(f"k{int(rng.paretovariate(0.4)) % 2_000}"), 100, 0, now)
    assert guard.rule == "slru"


def test_a_ranker_begins_with_heat_and_follows_its_guard():
    ranker, now = HeatRanker(0.0, True, random.Random(1)), 1e9
    assert ranker.rule == "heat"
    rows = [Row("often", 100, now, 9, now, 3.0), Row("once", 100, now + 9, 1, now + 9)]
    ranker.seen(rows[0], now + 10)
    ranker.watch(rows, 2, [], 0, now + 10)
    ranker._guard.rule = "slru"
    assert ranker.rule == "slru"
    assert [row.key for row in ranker.rank(rows, now + 20)] == ["once", "often"]
    assert ranker.forecast(rows[0], now + 20).value > ranker.forecast(rows[1], now + 20).value


def test_a_ranker_is_for_all_threads():
    ranker, now, failed = HeatRanker(0.0, True, random.Random(1)), 1e9, []
    rows = [Row(f"k{number}", 100 + number, now, 1 + number % 9, now, number % 20) for number in range(32)]

    def work(seed):
        rng = random.Random(seed)
        try:
            for at in range(400):
                ranker.seen(rng.choice(rows), now + at)
                ranker.watch(rows, 300, rows[:2], 50, now + at)
                assert len(ranker.rank(rows, now + at)) == 32
        except Exception as error:  # noqa: BLE001 - whatever a thread raises is the result
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
