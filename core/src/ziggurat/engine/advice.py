"""What other policies and other sizes would have done with the reads that a store recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from ziggurat.config.model import PolicyConfig
from ziggurat.config.policies import load_policy
from ziggurat.engine.simulation import Model, simulated
from ziggurat.errors import PluginError
from ziggurat.plugin.registry import Registry
from ziggurat.policy.simulation import Request, Tally, replay

__all__ = ["FACTORS", "Advice", "Point", "advise", "candidates"]

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Capacities that are tried, by the present one."""

_WORTH = 0.01
"""A change of the byte miss ratio that is worth another configuration."""

_SPARED = 0.005


@frozen
class Point:
    """One policy at one capacity.

    Attributes:
        policy: Its name.
        capacity: Bytes.
        object_miss_ratio, byte_miss_ratio: What it would have missed of what came to the tier.
    """

    policy: str
    capacity: int
    object_miss_ratio: float
    byte_miss_ratio: float


@frozen
class Advice:
    """What was found for one cache.

    Attributes:
        tier: The cache.
        policy: Its present policy.
        capacity: Its present capacity.
        requests: Reads that came to it.
        points: Every policy at every capacity.
        best: The name of the policy that is recommended.
        room: The capacity that is recommended.
        why: One sentence.
        tuned: The present policy has parameters of its own, in a table that another policy replaces.
    """

    tier: str
    policy: str
    capacity: int
    requests: int
    points: tuple[Point, ...]
    best: str
    room: int
    why: str
    tuned: bool = False

    def at(self, policy: str, factor: float) -> Point:
        """The point of a policy at a multiple of the present capacity."""
        wanted = max(1, int(self.capacity * factor))
        return next(one for one in self.points if one.policy == policy and one.capacity == wanted)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the tier's table that are recommended, none if it is well as it is."""
        found = []
        if self.room != self.capacity:
            found.append(f"capacity = {self.room}")
        if self.best != self.policy:
            instead = "  # instead of the table [tier.policy] or policy = {...}" if self.tuned else ""
            found.append(f'policy = "{self.best}"{instead}')
        return tuple(found)


def candidates(registry: Registry, *, volatile: bool) -> list[PolicyConfig]:
    """The installed policies that such a cache can use, with their default parameters."""
    found = []
    for provider in registry.available():
        try:
            chosen, type_ = load_policy(f"{provider.distribution}:{provider.name}", registry)
        except PluginError:
            continue
        if (type_.index if volatile else type_.ranker) is not None:
            found.append(PolicyConfig(chosen, type_, type_.parameters()))
    return found


def advise(
    requests: Sequence[Request],
    caches: Sequence[Model],
    choose: Callable[[Model], Sequence[PolicyConfig]],
    progress: Callable[[int], object] | None = None,
) -> list[Advice]:
    """Try policies and capacities for each cache of a stack.

    Each cache is shown what the hotter ones, as they are configured now, would have let through.

    Args:
        requests: The trace.
        caches: Hottest first.
        choose: The policies to try for a cache.
        progress: Told now and then how many requests were done since, over all replays.
    """
    found = []
    for model in caches:
        present = model.policy.provider.name
        policies = {each.provider.name: each for each in choose(model)}
        policies[present] = model.policy
        points = []
        for name, policy in policies.items():
            for factor in FACTORS:
                capacity = max(1, int(model.capacity * factor))
                tally = _tried(requests, evolve(model, policy=policy, capacity=capacity), progress)
                points.append(Point(name, capacity, tally.object_miss_ratio, tally.byte_miss_ratio))
        found.append(_recommend(model, len(requests), tuple(points)))
        requests = _through(requests, model)
    return found


def _tried(requests: Sequence[Request], model: Model, progress: Callable[[int], object] | None) -> Tally:
    (tally,) = replay(requests, [simulated(model)], progress)
    return tally


def _through(requests: Sequence[Request], model: Model) -> list[Request]:
    """What a cache lets through to the colder ones."""
    cache = simulated(model)
    missed = []
    for request in requests:
        now, key, size = request
        if not cache.get(key, size, now):
            missed.append(request)
            cache.admit(key, size, now)
    return missed


def _recommend(model: Model, requests: int, points: tuple[Point, ...]) -> Advice:
    present = model.policy.provider.name
    tuned = model.policy.parameters != model.policy.type.parameters()
    plain = Advice(model.tier, present, model.capacity, requests, points, present, model.capacity, "", tuned)
    if not requests:
        return evolve(plain, why="no read came to it: the hotter caches answered all of them")
    now = plain.at(present, 1.0)
    names = {point.policy for point in points}
    best = min(sorted(names), key=lambda name: plain.at(name, 1.0).byte_miss_ratio)
    if now.byte_miss_ratio - plain.at(best, 1.0).byte_miss_ratio < _WORTH:
        best = present
    here, half, twice = (plain.at(best, factor).byte_miss_ratio for factor in (1.0, 0.5, 2.0))
    if here - twice >= _WORTH:
        room, why = 2.0, f"twice the room would miss {here - twice:.1%} of the bytes less"
    elif half - here < _SPARED:
        room, why = 0.5, f"half the room would miss only {half - here:.1%} of the bytes more"
    else:
        room, why = 1.0, "its room fits what is asked for"
    if best != present:
        why = f"{best} would miss {now.byte_miss_ratio - here:.1%} of the bytes less than {present}; {why}"
    return evolve(plain, best=best, room=max(1, int(model.capacity * room)), why=why)
