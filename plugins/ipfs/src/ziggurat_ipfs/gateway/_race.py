"""Hedged requests: the same question to another gateway when one is slow, fails, or lacks it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ziggurat.errors import CorruptBlob, TierError, TierThrottled, TierUnavailable
from ziggurat_ipfs.gateway._health import Gateways, Peer
from ziggurat_ipfs.gateway._wire import Line

__all__ = ["ask_each", "summed_up"]

T = TypeVar("T")
_AT_ONCE = 3
"""Gateways that are asked one question at the same time, at most."""


def ask_each(
    gateways: Gateways,
    peers: Sequence[Peer],
    attempt: Callable[[Peer, Line], T | None],
    discard: Callable[[Any], object],
    hedge: float,
) -> tuple[T | None, list[TierError]]:
    """Ask one gateway after another, the next one early when the one before is slow.

    Args:
        gateways: Learns how each did.
        peers: Whom to ask, in order.
        attempt: Asks one, over a line that may be cut; None if that one does not have it.
        discard: What becomes of an answer that came second.
        hedge: Seconds to wait before another is asked the same.

    Returns:
        The first good answer or None, and why those that could not tell could not.
    """
    failures: list[TierError] = []
    if len(peers) == 1:
        try:
            return _observed(gateways, peers[0], attempt, Line()), failures
        except TierError as error:
            return None, [error]
    results: queue.SimpleQueue[tuple[Line, T | None, BaseException | None]] = queue.SimpleQueue()
    lock = threading.Lock()
    over = False

    def run(peer: Peer, line: Line) -> None:
        value, failure = None, None
        try:
            value = _observed(gateways, peer, attempt, line)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            failure = error
        with lock:
            if not over:
                results.put((line, value, failure))
                return
        if value is not None:
            discard(value)

    waiting = list(peers)
    lines: dict[Line, Peer] = {}
    try:
        while waiting or lines:
            if waiting and len(lines) < _AT_ONCE:
                peer, line = waiting.pop(0), Line()
                lines[line] = peer
                threading.Thread(target=run, args=(peer, line), name="ziggurat-gateway", daemon=True).start()
            hurry = hedge if waiting and len(lines) < _AT_ONCE else None
            try:
                line, value, failure = results.get(timeout=hurry)
            except queue.Empty:
                for peer in lines.values():
                    gateways.slow(peer, hedge)
                continue
            del lines[line]
            if isinstance(failure, TierError):
                failures.append(failure)
            elif failure is not None:
                raise failure
            elif value is not None:
                return value, failures
        return None, failures
    finally:
        with lock:
            over = True
        while not results.empty():
            _, late, _ = results.get()
            if late is not None:
                discard(late)
        for line in lines:
            line.cut()


def _observed(
    gateways: Gateways, peer: Peer, attempt: Callable[[Peer, Line], T | None], line: Line
) -> T | None:
    start = time.monotonic()
    try:
        value = attempt(peer, line)
    except TierError as error:
        # A line that was cut says nothing about the gateway but that it was slower, which is known.
        if not line.given_up and not isinstance(error, CorruptBlob):
            gateways.failed(peer, error, time.monotonic() - start)
        raise
    if value is None:
        gateways.lacked(peer, time.monotonic() - start)
    else:
        gateways.answered(peer, time.monotonic() - start)
    return value


def summed_up(failures: Sequence[TierError]) -> TierError:
    """One error for several gateways: retryable if any is, wrong content only if all gave wrong content."""
    if len(failures) == 1:
        return failures[0]
    text = "; ".join(dict.fromkeys(failure.message for failure in failures))
    if all(isinstance(failure, CorruptBlob) for failure in failures):
        return CorruptBlob(text)
    retryable = any(failure.retryable for failure in failures)
    if all(isinstance(failure, TierThrottled) for failure in failures):
        waits = [failure.retry_after for failure in failures if failure.retry_after is not None]
        return TierThrottled(text, retryable=retryable, retry_after=min(waits, default=None))
    return TierUnavailable(text, retryable=retryable)
