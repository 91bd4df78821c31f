"""Which block goes first: pure decisions, without I/O, the clock an argument."""

from ziggurat.policy.lru import LruIndex, LruRanker, make_index, make_ranker
from ziggurat.policy.protocols import Index, Ranker, Row

__all__ = ["Index", "LruIndex", "LruRanker", "Ranker", "Row", "make_index", "make_ranker"]
