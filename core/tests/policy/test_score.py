import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.policy.score import ScoreParameters, ScoreRanker, score
from ziggurat.testing._policy_model import Row

DAY = 86_400
times = st.floats(0, 4e9)


def test_worked_by_hand():
    found = score(7, last=9 * DAY, first=3 * DAY, now=10 * DAY)
    assert found.frequency_factor == 3  # log2(8)
    assert found.recency == 0.5  # one half-life ago
    assert found.boost_factor == 1
    assert found.age == 7 * DAY
    assert found.age_factor == 1 + math.log(8)
    assert found.score == 3.5 * (1 + math.log(8))


def test_every_parameter_counts():
    chosen = ScoreParameters(
        frequency_weight=2, recency_weight=4, frequency_power=0.5, half_life=100, boost=3, boost_window=50
    )
    found = score(15, last=950, first=1_000 - math.expm1(1) * DAY, now=1_000, parameters=chosen)
    assert found.score == pytest.approx((2 * 2 + 4 * 0.5**0.5) * 3 * 2)
    assert score(15, last=949, first=0, now=1_000, parameters=chosen).boost_factor == 1


@given(st.integers(0, 2**62), times, times, times)
def test_the_documented_formula(count, last, first, now):
    terms, p = score(count, last, first, now), ScoreParameters()
    assert terms.age == max(0.0, now - first)
    assert 0 <= terms.recency <= 1
    formula = (
        (terms.frequency_factor * p.frequency_weight + terms.recency * p.recency_weight)
        * terms.boost_factor
        * (1 + math.log(1 + terms.age / 86400))
    )
    assert terms.score == formula >= 0
    assert score(count + 1, last, first, now).score >= terms.score
    assert score(count, last + 60, first, now).score >= terms.score
    assert score(count, last, first - 60, now).score >= terms.score


def test_the_future_counts_as_now():
    assert score(1, last=50, first=50, now=10) == score(1, last=10, first=10, now=10)


def test_the_ranker_puts_the_coldest_first():
    now = 100.0 * DAY
    rows = [Row("hot", 1, now - 1, 90, now - DAY), Row("cold", 1, now - 50 * DAY, 1, now - 50 * DAY)]
    ranker = ScoreRanker(ScoreParameters())
    assert [row.key for row in ranker.rank(rows, now)] == ["cold", "hot"]
    assert ranker.forecast(rows[0], now).next_use is None


@pytest.mark.parametrize("name", ["half_life", "boost"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_what_must_be_above_zero(name, value):
    with pytest.raises(ValueError, match=f"'{name}' must be above 0"):
        ScoreParameters(**{name: value})


@pytest.mark.parametrize("value", ["1", None, True])
def test_what_is_no_number(value):
    with pytest.raises(TypeError, match="'boost' must be a number"):
        ScoreParameters(boost=value)
