"""What an assembled stack is and what it promises, in words: for ``ziggurat config check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from ziggurat.backend import Form
from ziggurat.config.model import StackConfig, TierConfig
from ziggurat.config.report import quoted
from ziggurat.config.roles import read_only, writable_stores
from ziggurat.config.units import format_size

__all__ = ["TierSummary", "describe", "promises"]

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@frozen
class TierSummary:
    """One tier as a person checks it.

    Attributes:
        tier: Its name.
        role: Given or derived.
        backend: Entry-point name.
        distribution, version: Where the backend comes from.
        capacity: Bytes of payload, None for no limit.
        form: What the backend keeps under a plain key.
        ranges, volatile, local, public, durable, max_blob: The backend's capabilities.
        written: Puts or fills may write to it.
        probe, publish, trusted: What the user said of it.
    """

    tier: str
    role: str
    backend: str
    distribution: str
    version: str
    capacity: int | None
    form: Form
    ranges: bool
    volatile: bool
    local: bool
    public: bool
    durable: bool
    max_blob: int | None
    written: bool
    probe: bool
    publish: bool
    trusted: bool


def describe(stack: StackConfig) -> tuple[TierSummary, ...]:
    """Describe each tier, hottest first."""
    return tuple(_summary(tier) for tier in stack.tiers)


def promises(stack: StackConfig) -> tuple[str, ...]:
    """Say what a stack does with a put and a read.

    Returns:
        Sentences without a full stop, such as "a put returns when one copy is on archive".
    """
    return tuple(_promises(stack))


def _summary(tier: TierConfig) -> TierSummary:
    able = tier.type.capabilities
    return TierSummary(
        tier=tier.name,
        role=tier.role,
        backend=tier.provider.name,
        distribution=tier.provider.distribution,
        version=tier.provider.version,
        capacity=tier.capacity,
        form=able.form,
        ranges=able.ranges,
        volatile=able.volatile,
        local=able.local,
        public=able.public,
        durable=able.durable,
        max_blob=able.max_blob,
        written=_written(tier),
        probe=tier.probe,
        publish=tier.publish,
        trusted=tier.trusted,
    )


def _written(tier: TierConfig) -> bool:
    allowed = tier.publish or not tier.type.capabilities.public
    return tier.role != "source" and allowed and read_only(tier.type) is not True


def _promises(stack: StackConfig) -> Iterator[str]:
    roles = {
        role: [tier for tier in stack.tiers if tier.role == role] for role in ("cache", "store", "source")
    }
    stores = roles["store"]
    yield _put(writable_stores(stack.tiers), stack.min_copies)
    readers = [*roles["cache"], *stores, *roles["source"]]
    yield f"a blob is read from {', then '.join(tier.name for tier in readers)}"
    for tier in roles["cache"]:
        size = f" at most {format_size(tier.capacity)}" if tier.capacity is not None else ""
        end = ", until the process ends" if tier.type.capabilities.volatile else ""
        yield f"{tier.name} keeps{size} of blocks that were read{end}"
    for tier in stores:
        if tier.capacity is not None:
            yield f"{tier.name} keeps at most {format_size(tier.capacity)}"
        if not tier.probe:
            yield f"{tier.name} is asked only for what the catalog lists there"
        if not _written(tier):
            yield f"{tier.name} is read and never written, because it would publish what is put"
    for tier in roles["source"]:
        yield f"{tier.name} is asked last and never written"
    trusted = [tier.name for tier in stack.tiers if tier.trusted]
    if trusted:
        yield f"bytes from {quoted(trusted)} are believed without proof, because you said trusted = true"
        if len(trusted) < len(stack.tiers):
            yield "every byte from another tier is proved before a reader sees it"
    else:
        yield "every byte is proved before a reader sees it"
    public = [tier.name for tier in stack.tiers if tier.type.capabilities.public and _written(tier)]
    if public:
        yield f"what reaches {quoted(public)} is published and cannot be taken back"
    else:
        yield "nothing is published"


def _put(writable: Sequence[TierConfig], copies: int) -> str:
    if not writable:
        return "a put is refused, because no tier is a store"
    names = [tier.name for tier in writable]
    first, others = names[:copies], names[copies:]
    count = f"{_WORDS[copies] if copies < len(_WORDS) else copies} cop{'y is' if copies == 1 else 'ies are'}"
    text = f"a put returns when {count} on {quoted(first)}"
    if not others:
        return text
    if copies == 1:
        return f"{text}, or on {quoted(others, 'or')} when {first[0]} cannot take it"
    return f"{text}, or on {quoted(others, 'or')} in place of one that cannot take it"
