"""What the caches of a stack would do with a trace, and what its reads would cost."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from attrs import Factory, frozen

from ziggurat.config.model import Cost, PolicyConfig, StackConfig, TierConfig
from ziggurat.config.policies import default_policy, load_policy
from ziggurat.engine.policies import index_for, ranker_for
from ziggurat.errors import ConfigError
from ziggurat.plugin.registry import Registry
from ziggurat.policy.simulation import IndexCache, RankedCache, Request, SimulatedCache, Tally, replay

__all__ = ["Model", "Outcome", "TierOutcome", "model_of", "models", "simulate", "simulated"]

_MONTH = 30 * 86_400
_SEED = 1

Progress = Callable[[int], object]


@frozen
class Model:
    """One cache to simulate.

    Attributes:
        tier: Its name.
        policy: What decides.
        capacity: Bytes.
        volatile: It is one of the process, so the policy's index decides; otherwise its ranker.
        cost: What its reads cost.
    """

    tier: str
    policy: PolicyConfig
    capacity: int
    volatile: bool
    cost: Cost = Factory(Cost)


@frozen
class TierOutcome:
    """What one tier would be asked and answer.

    Attributes:
        tier: Its name.
        policy: What decides, None for the store beneath.
        capacity: Bytes, None for the store beneath.
        requests: Reads that came to it.
        hits: Those that it answered.
        object_miss_ratio, byte_miss_ratio: Reads, and bytes, that it could not answer, by those that came.
        bytes_fetched: Bytes that had to come from beneath it.
        latency: Seconds that it was asked in all, None if the tier states no latency.
        bill: Price of all that, None if the tier states none.
    """

    tier: str
    policy: str | None
    capacity: int | None
    requests: int
    hits: int
    object_miss_ratio: float
    byte_miss_ratio: float
    bytes_fetched: int
    latency: float | None = None
    bill: float | None = None


@frozen
class Outcome:
    """What a stack would do with a trace.

    Attributes:
        requests: Reads.
        bytes: Bytes that they wanted.
        seconds: Time from the first to the last.
        tiers: The caches, and the store beneath them where a stack is simulated.
        object_miss_ratio, byte_miss_ratio: What no cache answered.
        latency: Expected seconds of one read, None if no tier states any.
        bill: Price of all reads, and of the room of the caches for that time; None if no tier states any.
    """

    requests: int
    bytes: int
    seconds: float
    tiers: tuple[TierOutcome, ...]
    object_miss_ratio: float
    byte_miss_ratio: float
    latency: float | None = None
    bill: float | None = None


def model_of(policy: str, capacity: int, registry: Registry, *, persistent: bool = False) -> Model:
    """One cache under a named policy with its default parameters.

    Args:
        policy: The policy's name.
        capacity: Bytes.
        registry: The installed policies.
        persistent: Simulate it as a cache that outlives the process; so is a policy without an index.

    Raises:
        ConfigError: The policy cannot serve such a cache.
        PluginError: Nobody offers it.
    """
    provider, type_ = load_policy(policy, registry)
    volatile = not persistent and type_.index is not None
    if not volatile and type_.ranker is None:
        raise ConfigError(
            f"policy {policy!r} has no ranker, so no cache that outlives the process can use it"
        )
    return Model(policy, PolicyConfig(provider, type_, type_.parameters()), capacity, volatile)


def models(stack: StackConfig, registry: Registry) -> list[Model]:
    """The caches of a stack, hottest first."""
    found = []
    for tier in stack.tiers:
        if tier.role == "cache" and tier.capacity is not None:
            volatile = tier.type.capabilities.volatile
            policy = tier.policy or default_policy(volatile, registry)
            found.append(Model(tier.name, policy, tier.capacity, volatile, tier.cost))
    return found


def simulated(model: Model) -> SimulatedCache:
    """Make a cache with the policy's own object; the same each time."""
    if model.volatile:
        return IndexCache(index_for(model.policy, model.capacity, seed=_SEED))
    rng = random.Random(_SEED)  # noqa: S311 - it samples
    return RankedCache(ranker_for(model.policy, seed=_SEED), model.capacity, rng)


def simulate(
    requests: Sequence[Request],
    caches: Sequence[Model],
    beneath: TierConfig | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Replay a trace against caches.

    A tier that is asked costs its latency and its price of a request, whether it has the block or not; one
    that answers costs its price of the bytes too. Room costs its price for the time of the trace. What the
    store keeps is not counted: no cache changes it.

    Args:
        requests: The trace, not empty.
        caches: Hottest first.
        beneath: The store that answers what no cache has.
        progress: Told now and then how many requests were done since.
    """
    tallies = replay(requests, [simulated(model) for model in caches], progress)
    seconds = max(0.0, requests[-1][0] - requests[0][0])
    if tallies:
        first, last = tallies[0], tallies[-1]
    else:
        first = last = Tally(len(requests), sum(size for _, _, size in requests))
    tiers = [_outcome(model, tally, seconds) for model, tally in zip(caches, tallies, strict=True)]
    if beneath is not None:
        left = Tally(last.requests - last.hits, last.bytes_fetched)
        left.hits, left.hit_bytes = left.requests, left.bytes
        tiers.append(_priced(beneath.name, None, None, left, beneath.cost, 0.0))
    latencies = [tier.latency for tier in tiers if tier.latency is not None]
    bills = [tier.bill for tier in tiers if tier.bill is not None]
    return Outcome(
        first.requests,
        first.bytes,
        seconds,
        tuple(tiers),
        (last.requests - last.hits) / first.requests if first.requests else 0.0,
        last.bytes_fetched / first.bytes if first.bytes else 0.0,
        sum(latencies) / first.requests if latencies and first.requests else None,
        sum(bills) if bills else None,
    )


def _outcome(model: Model, tally: Tally, seconds: float) -> TierOutcome:
    return _priced(model.tier, model.policy.provider.name, model.capacity, tally, model.cost, seconds)


def _priced(
    tier: str, policy: str | None, capacity: int | None, tally: Tally, cost: Cost, seconds: float
) -> TierOutcome:
    bill = None
    if cost.priced:
        room = (capacity or 0) / 1e9 * cost.per_gb_month * seconds / _MONTH
        bill = tally.requests * cost.per_request + tally.hit_bytes / 1e9 * cost.per_gb_out + room
    return TierOutcome(
        tier,
        policy,
        capacity,
        tally.requests,
        tally.hits,
        tally.object_miss_ratio,
        tally.byte_miss_ratio,
        tally.bytes_fetched,
        None if cost.latency is None else tally.requests * cost.latency,
        bill,
    )
