"""Which gateways there are, how each has done lately, and which of them are asked, in which order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from attrs import define, field, frozen

from ziggurat.errors import CorruptBlob, TierError, TierThrottled, TierTimeout, TierUnavailable

__all__ = ["Gateways", "Health", "Peer"]

_MEMORY = 0.3
"""Weight of the newest observation in the running mean."""

_ABSENT_COST, _FAILURE_COST = 0.5, 10.0
"""Seconds that a "not here", and a failure, count for on top of the time they took."""

_FOUND_COST = 0.5
_MOST_FOUND = 16
_SHORTEST_REST = 5.0
"""Seconds that a gateway is left alone which asks for it and does not say how long."""


@frozen
class Health:
    """How one gateway has done, for a person.

    Attributes:
        url: Its address.
        found: A router named it, not the configuration.
        answers, absent, failures: How often it gave something, did not have it, could not tell.
        cost: Seconds that asking it is expected to cost.
        rests: Seconds for which it asked to be left alone.
        dropped: Why it is never asked again, "" if it is.
    """

    url: str
    found: bool
    answers: int
    absent: int
    failures: int
    cost: float
    rests: float
    dropped: str


@define(eq=False)
class Peer:
    """One gateway."""

    url: str
    found: bool = False
    cost: float = 0.0
    until: float = 0.0
    dropped: str = ""
    answers: int = 0
    absent: int = 0
    failures: int = 0
    lock: threading.Lock = field(factory=threading.Lock)


class Gateways:
    """The gateways of one tier, and what is remembered of them for the life of the store.

    Args:
        urls: Addresses of the configured ones.
        logger: Where it is said that one was dropped.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, urls: Iterable[str], logger: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._clock = logger, clock
        self._lock = threading.Lock()
        self._peers = [Peer(url.rstrip("/")) for url in urls]

    # -- whom to ask ------------------------------------------------------------------------------

    def order(self) -> list[Peer]:
        """Who may be asked now, the most promising first; file order among equals."""
        now = self._clock()
        with self._lock:
            able = [peer for peer in self._peers if not peer.dropped and peer.until <= now]
        return sorted(able, key=lambda peer: peer.cost)

    def silent(self) -> list[TierError]:
        """Why some are not asked that might hold what the others lack: those that asked for rest.

        Who was dropped is not missed, unless nobody is left.
        """
        now = self._clock()
        with self._lock:
            peers = list(self._peers)
        rest = [peer for peer in peers if not peer.dropped and peer.until > now]
        if peers and all(peer.dropped for peer in peers):
            why = "; ".join(f"{peer.url}: {peer.dropped}" for peer in peers)
            return [TierUnavailable(f"every gateway gave wrong bytes and was dropped ({why}); name others")]
        return [
            TierThrottled(
                f"{peer.url} is left alone for {peer.until - now:.0f} s, as it asked",
                retryable=True,
                retry_after=peer.until - now,
            )
            for peer in rest
        ]

    def add(self, urls: Sequence[str]) -> list[Peer]:
        """Take in gateways that a router found; those among them that were not known are returned.

        At most 16 are kept; the one that has cost most makes room.
        """
        fresh: list[Peer] = []
        with self._lock:
            known = {peer.url for peer in self._peers}
            for url in dict.fromkeys(url.rstrip("/") for url in urls):
                if url in known:
                    continue
                found = [peer for peer in self._peers if peer.found and not peer.dropped]
                if len(found) >= _MOST_FOUND:
                    worst = max(found, key=lambda peer: peer.cost)
                    self._peers.remove(worst)
                    fresh = [peer for peer in fresh if peer is not worst]
                # The dropped stay listed, so that no router brings them back.
                peer = Peer(url, found=True, cost=_FOUND_COST)
                self._peers.append(peer)
                fresh.append(peer)
        return fresh

    # -- what came of it --------------------------------------------------------------------------

    def answered(self, peer: Peer, seconds: float) -> None:
        """It gave what was asked."""
        with peer.lock:
            peer.answers += 1
            self._learn(peer, seconds)

    def slow(self, peer: Peer, seconds: float) -> None:
        """It took so long that another was asked too; what comes of it may never be known."""
        with peer.lock:
            self._learn(peer, seconds)

    def lacked(self, peer: Peer, seconds: float) -> None:
        """It said that it does not have it."""
        with peer.lock:
            peer.absent += 1
            self._learn(peer, seconds + _ABSENT_COST)

    def failed(self, peer: Peer, error: TierError, seconds: float) -> None:
        """It could not tell; one that asked for rest gets it."""
        with peer.lock:
            peer.failures += 1
            self._learn(peer, seconds + _FAILURE_COST)
            if isinstance(error, TierThrottled):
                rest = error.retry_after if error.retry_after is not None else _SHORTEST_REST
                peer.until = max(peer.until, self._clock() + rest)
        told = "was too slow" if isinstance(error, TierTimeout) else "failed"
        self._log.info("gateway %s %s: %s", peer.url, told, error.message)

    def drop(self, peer: Peer, what: str) -> CorruptBlob:
        """Never ask it again: it gave bytes that fail their proof.

        Returns:
            The error that says so.
        """
        with peer.lock:
            new, peer.dropped = not peer.dropped, peer.dropped or what
        if new:
            self._log.warning("gateway %s %s; it is not asked again while this store is open", peer.url, what)
        return CorruptBlob(f"{peer.url} {what}; it is not asked again while this store is open")

    def _learn(self, peer: Peer, cost: float) -> None:
        peer.cost += _MEMORY * (cost - peer.cost)

    # -- for people -------------------------------------------------------------------------------

    def health(self) -> tuple[Health, ...]:
        """How each has done, the configured ones first."""
        now = self._clock()
        with self._lock:
            peers = list(self._peers)
        return tuple(
            Health(
                peer.url, peer.found, peer.answers, peer.absent, peer.failures,
                peer.cost, max(0.0, peer.until - now), peer.dropped,
            )
            for peer in peers
        )  # fmt: skip
