"""Which block goes first: pure decisions, without I/O, the clock an argument."""

from ziggurat.policy.lru import LruIndex, LruRanker, make_index, make_ranker
from ziggurat.policy.protocols import (
    POLICIES,
    STATE_LIMIT,
    Forecast,
    Forecaster,
    Index,
    Learner,
    Observer,
    PolicyType,
    Ranker,
    Row,
)

__all__ = [
    "POLICIES",
    "STATE_LIMIT",
    "Forecast",
    "Forecaster",
    "Index",
    "Learner",
    "LruIndex",
    "LruRanker",
    "Observer",
    "PolicyType",
    "Ranker",
    "Row",
    "make_index",
    "make_ranker",
]
