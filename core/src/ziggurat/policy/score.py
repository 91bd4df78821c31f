"""The documented heat score: how hot a block is, by its count, its last access and its age.

    score = (frequency_factor * frequency_weight + recency * recency_weight) * boost_factor
            * (1 + log(1 + age / 86400))

It ranks what moves between stores and is shown by ``ziggurat explain``. As a policy of a cache it is the
Ranker `heat-score`; `heat` keeps more of what is asked for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from attrs import Attribute, field, frozen

from ziggurat.policy.protocols import Forecast, PolicyType, R, Ranker, Row

__all__ = ["HeatScore", "ScoreParameters", "ScoreRanker", "make_ranker", "policy", "score", "score_row"]

_DAY = 86_400.0


def _field(default: float, unit: str, help_: str, *, zero: bool = True, most: float = 1e12) -> float:
    def check(_instance: object, attribute: Attribute[float], value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"'{attribute.name}' must be a number: {value!r}")
        if value < 0 or value > most or (value == 0 and not zero) or math.isnan(value):
            least = "at least" if zero else "above"
            raise ValueError(f"'{attribute.name}' must be {least} 0 and at most {most:g}: {value!r}")

    metadata = {"help": help_} | ({"unit": unit} if unit else {})
    number: float = field(default=default, validator=check, metadata=metadata)
    return number


@frozen
class ScoreParameters:
    """Every parameter of the score.

    Attributes:
        frequency_weight: Weight of the count's term.
        recency_weight: Weight of the last access's term.
        frequency_power: The count's term is log2(1 + count) to this power: below 1 high counts matter less.
        half_life: Seconds after which the recency has halved.
        boost: Factor for a block that was accessed within `boost_window`.
        boost_window: Seconds.
    """

    frequency_weight: float = _field(1.0, "", "weight of the count of accesses")
    recency_weight: float = _field(1.0, "", "weight of the time since the last access")
    frequency_power: float = _field(
        1.0, "", "power of log2(1 + count); below 1 high counts matter less", most=16
    )
    half_life: float = _field(_DAY, "seconds", "time after which recency has halved", zero=False)
    boost: float = _field(2.0, "", "factor for what was accessed within the boost window", zero=False)
    boost_window: float = _field(3_600.0, "seconds", "how recent an access is boosted")


@frozen
class HeatScore:
    """The score with each of its terms.

    Attributes:
        frequency_factor: Scaled count, from 0.
        recency: From 1 (now) to 0.
        boost_factor: `ScoreParameters.boost` after a recent access, otherwise 1.
        age: Seconds since the first access known, at least 0.
        age_factor: 1 + log(1 + age / 86400).
        score: The whole; the lowest goes first.
    """

    frequency_factor: float
    recency: float
    boost_factor: float
    age: float
    age_factor: float
    score: float


def score(
    count: int, last: float, first: float, now: float, parameters: ScoreParameters | None = None
) -> HeatScore:
    """Work out the heat score.

    Args:
        count: Accesses.
        last: Last access, seconds since the epoch; one in the future counts as now.
        first: First access known, seconds since the epoch; one in the future counts as now.
        now: Seconds since the epoch.
        parameters: Those of the configuration, or None for the defaults.
    """
    chosen = parameters or _DEFAULTS
    idle, age = max(0.0, now - last), max(0.0, now - first)
    frequency_factor = math.log2(1 + max(0, count)) ** chosen.frequency_power
    recency = 0.5 ** (idle / chosen.half_life)
    boost_factor = chosen.boost if idle <= chosen.boost_window else 1.0
    age_factor = 1 + math.log(1 + age / _DAY)
    weighed = frequency_factor * chosen.frequency_weight + recency * chosen.recency_weight
    return HeatScore(
        frequency_factor, recency, boost_factor, age, age_factor, weighed * boost_factor * age_factor
    )


def score_row(row: Row, now: float, parameters: ScoreParameters | None = None) -> HeatScore:
    """Work out the heat score of a catalog's row; see `score`."""
    return score(row.count, row.last, row.first, now, parameters)


class ScoreRanker:
    """The lowest heat score first.

    Args:
        parameters: Those of the score.
    """

    def __init__(self, parameters: ScoreParameters) -> None:
        self._parameters = parameters

    def rank(self, rows: Sequence[R], now: float) -> Sequence[R]:
        """See `Ranker.rank`."""
        return sorted(rows, key=lambda row: score_row(row, now, self._parameters).score)

    def forecast(self, row: Row, now: float) -> Forecast:
        """See `Ranker.forecast`; the value is the score, which says nothing of the next use."""
        return Forecast(score_row(row, now, self._parameters).score, None, "seconds")


def make_ranker(
    parameters: ScoreParameters,
    rng: random.Random | None = None,  # noqa: ARG001 - of `PolicyType`
    state: bytes | None = None,  # noqa: ARG001 - of `PolicyType`
) -> Ranker:
    """Make the ranker of a persistent cache.

    Args:
        parameters: Those of the score.
        rng: Not used.
        state: Not used.
    """
    return ScoreRanker(parameters)


_DEFAULTS = ScoreParameters()

policy = PolicyType("heat-score", "the documented heat score", ScoreParameters, ranker=make_ranker)
