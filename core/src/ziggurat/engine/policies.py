"""The policy of a cache at work: made from its configuration, its experience kept in the catalog."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from ziggurat.catalog import Catalog
from ziggurat.config.model import PolicyConfig
from ziggurat.config.policies import default_policy, policy_problem
from ziggurat.engine.events import Failures
from ziggurat.errors import ConfigError, PluginError, ZigguratError
from ziggurat.plugin.registry import POLICIES, Registry
from ziggurat.policy import Forecast, Index, Learner, LruRanker, Observer, Ranker, Row
from ziggurat.policy.protocols import R
from ziggurat.tiers import CacheTier

__all__ = ["Ages", "Experience", "blame", "careful", "index_for", "policy_of", "ranker_for"]

_EVERY = 30.0
"""Seconds between two exchanges of what was learned."""

_TRACKED = 1024


def policy_of(tier: CacheTier, installed: Registry | None = None) -> PolicyConfig:
    """The policy of a cache: what its configuration says, or the default of one that was made by hand.

    Raises:
        ConfigError: The tier cannot use it.
    """
    chosen = tier.config.policy
    if chosen is None:
        return default_policy(tier.capabilities.volatile, installed or Registry(POLICIES))
    if problem := policy_problem(
        chosen.type, chosen.provider.name, "cache", volatile=tier.capabilities.volatile
    ):
        raise ConfigError(f"tier {tier.name!r}: {problem}")
    return chosen


def index_for(
    policy: PolicyConfig, capacity: int, state: bytes | None = None, seed: int | None = None
) -> Index:
    """Make the index of a volatile cache; with a seed, always the same one."""
    if policy.type.index is None:
        raise ConfigError(f"policy {policy.provider.name!r} cannot serve a volatile cache")
    try:
        return policy.type.index(capacity, policy.parameters, random.Random(seed), state)  # noqa: S311 - it samples
    except Exception as error:
        raise blame(policy, error) from error


def ranker_for(policy: PolicyConfig, state: bytes | None = None, seed: int | None = None) -> Ranker:
    """Make the ranker of a persistent cache; with a seed, always the same one."""
    if policy.type.ranker is None:
        raise ConfigError(f"policy {policy.provider.name!r} cannot serve a persistent cache")
    try:
        return policy.type.ranker(policy.parameters, random.Random(seed), state)  # noqa: S311 - it samples
    except Exception as error:
        raise blame(policy, error) from error


def blame(policy: PolicyConfig, error: Exception) -> PluginError:
    """What to say of an exception that came out of a policy: a bug of its author's."""
    who = policy.provider
    return PluginError(
        f"policy {who.name!r} of {who} raised {type(error).__name__}: {error}; a bug: report it there",
        distribution=who.distribution,
        version=who.version,
    )


class CarefulRanker:
    """A ranker whose failures are noted, not raised: then the least recently used go.

    Args:
        ranker: The policy's own.
        policy: Who is to blame.
        failures: Where failures are noted.
    """

    def __init__(self, ranker: Ranker, policy: PolicyConfig, failures: Failures) -> None:
        self._ranker, self._policy, self._failures = ranker, policy, failures

    def rank(self, rows: Sequence[R], now: float) -> Sequence[R]:
        """See `Ranker.rank`."""
        try:
            return self._ranker.rank(rows, now)
        except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and a cache must find a victim
            self._failures.note(blame(self._policy, error))
            return LruRanker().rank(rows, now)

    def forecast(self, row: Row, now: float) -> Forecast:
        """See `Ranker.forecast`; it raises what the policy raises."""
        return self._ranker.forecast(row, now)


class CarefulObserver(CarefulRanker):
    """The same for one that observes: what it fails to learn is not learned."""

    def __init__(self, ranker: Ranker, observer: Observer, policy: PolicyConfig, failures: Failures) -> None:
        super().__init__(ranker, policy, failures)
        self._observer = observer

    def seen(self, row: Row, now: float) -> float:
        """See `Observer.seen`."""
        try:
            return self._observer.seen(row, now)
        except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and a cache fails no read
            self._failures.note(blame(self._policy, error))
            return row.gap

    def watch(
        self, residents: Sequence[Row], entries: int, ghosts: Sequence[Row], gone: int, now: float
    ) -> None:
        """See `Observer.watch`."""
        try:
            self._observer.watch(residents, entries, ghosts, gone, now)
        except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and a cache must find a victim
            self._failures.note(blame(self._policy, error))


def careful(ranker: Ranker, policy: PolicyConfig, failures: Failures) -> CarefulRanker:
    """The ranker of a cache at work: it never fails."""
    if isinstance(ranker, Observer):
        return CarefulObserver(ranker, ranker, policy, failures)
    return CarefulRanker(ranker, policy, failures)


class Experience:
    """What the policy of one cache learns, joined now and then with what others learned.

    Args:
        catalog: Where it is kept; None to keep nothing.
        cache: Identity of the medium, or the name of a volatile tier.
        policy: The policy.
        learner: The index or the ranker; one that does not learn keeps nothing.
        failures: Where failures are noted.
    """

    def __init__(
        self, catalog: Catalog | None, cache: str, policy: PolicyConfig, learner: object, failures: Failures
    ) -> None:
        self._join: Callable[[bytes | None], bytes] | None = (
            learner.exchange if isinstance(learner, Learner) and catalog is not None else None
        )
        self._catalog, self._cache, self._policy = catalog, cache, policy
        self._failures = failures
        self._next = time.monotonic() + _EVERY

    def exchange(self, *, now: bool = False) -> None:
        """Exchange if it is time, or now; a failure is noted."""
        if self._join is None or self._catalog is None or not (now or time.monotonic() >= self._next):
            return
        self._next = time.monotonic() + _EVERY
        try:
            self._catalog.learned.exchange(self._cache, self._policy.type.name, self._join)
        except ZigguratError as error:
            self._failures.note(error)
        except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and a cache fails no read
            self._failures.note(blame(self._policy, error))


class Ages:
    """How long evicted blocks had been in a volatile cache: of few blocks exactly, of many by a sample.

    Not for several threads at once.

    Attributes:
        count: Evictions that were noted.
        total: Seconds from admission to eviction, of all of them.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._mask = 0
        self.count, self.total = 0, 0.0

    def admitted(self, key: str) -> None:
        """Note an admission."""
        if hash(key) & self._mask:
            return
        self._since[key] = time.monotonic()
        if len(self._since) > _TRACKED:
            self._mask = self._mask << 1 | 1
            self._since = {key: at for key, at in self._since.items() if not hash(key) & self._mask}

    def evicted(self, key: str) -> None:
        """Note an eviction."""
        since = self._since.pop(key, None)
        if since is not None:
            self.count += 1
            self.total += time.monotonic() - since

    def forget(self, key: str) -> None:
        """A block went without having been evicted for room."""
        self._since.pop(key, None)
