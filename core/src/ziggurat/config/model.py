"""The assembled configuration as frozen values: what the rest of the core reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from attrs import Factory, field, fields, frozen, has

from ziggurat.backend import BackendType, Role, Timeouts
from ziggurat.plugin.registry import Provider
from ziggurat.policy import PolicyType
from ziggurat.policy.score import ScoreParameters

__all__ = ["Cost", "Limit", "PolicyConfig", "Provider", "Retry", "StackConfig", "TierConfig"]


@frozen
class Retry:
    """How often a retryable failure is tried again.

    Attributes:
        attempts: Calls in all, 1 for no retry.
        max_wait: Longest pause between two calls, seconds.
    """

    attempts: int = 3
    max_wait: float = 5.0


@frozen
class Limit:
    """How much a tier is asked at once.

    Attributes:
        concurrency: Calls under way at one time, None for no limit.
        rate: Calls a second, None for no limit.
    """

    concurrency: int | None = None
    rate: float | None = None


@frozen
class PolicyConfig:
    """What a cache keeps.

    Attributes:
        provider: Where the policy comes from.
        type: Its description.
        parameters: An instance of its own parameters class.
    """

    provider: Provider
    type: PolicyType
    parameters: Any


@frozen
class Cost:
    """What reads of a tier cost, as its user states it; money in any one currency.

    Attributes:
        latency: Seconds of one read, None if not stated.
        per_request: Price of one read.
        per_gb_out: Price of 10^9 bytes read.
        per_gb_month: Price of keeping 10^9 bytes for 30 days.
    """

    latency: float | None = None
    per_request: float = 0.0
    per_gb_out: float = 0.0
    per_gb_month: float = 0.0

    @property
    def priced(self) -> bool:
        """True if any price is stated."""
        return bool(self.per_request or self.per_gb_out or self.per_gb_month)


@frozen
class TierConfig:
    """One tier, checked: everything needed to make it.

    Attributes:
        name: Unique in the stack.
        provider: Where its backend comes from.
        type: The backend's description.
        role: Given, or derived from the backend's nature.
        options: An instance of the backend's own options class.
        capacity: Bytes of payload, None for no limit (never None for a cache).
        probe: May be asked for blobs that the catalog does not list there.
        publish: The user's word that a public backend may receive content.
        trusted: The user's word that its bytes need no proof.
        retry, limit, timeouts: How it is called.
        breaker: Consecutive failures after which the tier is left alone for a while, 0 for never.
        policy: What a cache keeps; None on other tiers, and for the default of one that was made by hand.
        cost: What its user says that reads cost.
    """

    name: str
    provider: Provider
    type: BackendType
    role: Role
    # Secrets never reach a repr, whatever the backend's own class shows.
    options: Any = field(repr=lambda options: f"{type(options).__name__}(...)")
    capacity: int | None = None
    probe: bool = True
    publish: bool = False
    trusted: bool = False
    retry: Retry = Retry()
    limit: Limit = Limit()
    timeouts: Timeouts = Factory(Timeouts)
    breaker: int = 0
    policy: PolicyConfig | None = None
    cost: Cost = Cost()

    def redact(self, text: str) -> str:
        """Text that may quote the options, such as a foreign exception's, without their secrets."""
        for attribute in fields(type(self.options)) if has(type(self.options)) else ():
            if attribute.metadata.get("secret"):
                for value in _texts(getattr(self.options, attribute.name, None)):
                    text = text.replace(value, "***")
        return text


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield from (value,) if value else ()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
        for item in value:
            yield from _texts(item)


@frozen
class StackConfig:
    """A whole stack, hottest tier first.

    Attributes:
        tiers: Enabled tiers in file order.
        path: Folder of the catalog and the spool.
        min_copies: Store copies that make a put durable.
        profile: Name of the CID profile that puts use.
        origin: The file it came from, None for a mapping or the packaged default.
        access_log: Every read is recorded in a log beside the catalog.
        heat: Parameters of the documented heat score.
    """

    tiers: tuple[TierConfig, ...]
    path: Path
    min_copies: int = 1
    profile: str = "unixfs-v1-2025"
    origin: Path | None = None
    access_log: bool = False
    heat: ScoreParameters = Factory(ScoreParameters)
