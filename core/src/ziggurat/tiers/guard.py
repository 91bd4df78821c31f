"""How a tier that is not local is called: time limit, concurrency and rate, breaker, retry (inside out)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from types import ModuleType
from typing import Any, TypeVar, cast

from ziggurat.backend import Blob, Dag
from ziggurat.config.model import Limit, Retry
from ziggurat.errors import BackendFault, TierError, TierThrottled, TierTimeout, TierUnavailable

__all__ = ["Breaker", "Guard", "Pace", "within"]

T = TypeVar("T")

_REST = 5.0
_LONGEST_REST = 60.0


class Breaker:
    """Leaves a tier alone for a while after consecutive failures, then lets one call try.

    Own code: the maintained libraries hold a lock during the call, which would serialise a tier.

    Args:
        failures: Consecutive failures that open it, 0 for never.
        clock: Seconds, monotonic.
    """

    def __init__(self, failures: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold, self._clock = failures, clock
        self._lock = threading.Lock()
        self._failed = 0
        self._until = 0.0
        self._rest = _REST

    @property
    def resting(self) -> bool:
        """True while calls are refused."""
        return self._until > self._clock()

    def check(self) -> None:
        """Refuse the call while resting; otherwise let it (and after a rest only one at a time) pass.

        Raises:
            TierUnavailable: The tier rests.
        """
        if not self._until:
            return
        with self._lock:
            wait = self._until - self._clock()
            if wait > 0:
                raise TierUnavailable(
                    f"is left alone for {wait:.1f} s after {self._failed} failures in a row"
                )
            if self._until:
                # Whoever comes first tries for all; the others are refused until it knows.
                self._until = self._clock() + self._rest

    def succeeded(self) -> None:
        """Note a call that was answered."""
        if self._failed:
            with self._lock:
                self._failed, self._until, self._rest = 0, 0.0, _REST

    def failed(self) -> None:
        """Note a call that was not answered."""
        if not self._threshold:
            return
        with self._lock:
            self._failed += 1
            if self._failed >= self._threshold:
                again = self._failed > self._threshold
                self._rest = min(self._rest * 2, _LONGEST_REST) if again else _REST
                self._until = self._clock() + self._rest


class Pace:
    """Spaces calls evenly.

    Args:
        rate: Calls a second.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap, self._clock, self._sleep = 1.0 / rate, clock, sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next call may start."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._gap
        if start > now:
            self._sleep(start - now)


class Guard:
    """Calls a backend's hooks the way its tier was configured.

    Args:
        retry: Attempts and longest pause for retryable failures.
        limit: Concurrency and rate.
        total: Seconds for one call, None for no limit.
        breaker: Consecutive failures after which the tier rests, 0 for never.
    """

    def __init__(self, retry: Retry, limit: Limit, total: float | None, breaker: int) -> None:
        self.breaker = Breaker(breaker)
        self._retry, self._total = retry, total
        self._turns = _turns(limit.concurrency) if limit.concurrency else None
        self._pace = Pace(limit.rate) if limit.rate else None

    @property
    def attempts(self) -> int:
        """Calls in all for one operation that fails retryably."""
        return self._retry.attempts

    def call(self, hook: Callable[..., T], *args: object) -> T:
        """Call a hook with arguments by position.

        Raises:
            TierError: As the hook, after the attempts were used up.
        """
        try:
            return self._once(hook, args)
        except TierError as error:
            if self._retry.attempts <= 1 or not error.retryable:
                raise
            failure: TierError | None = error
        # Most calls succeed at once, and the library's bookkeeping costs as much as a small read does: it
        # takes over from the first failure on, which it is told as if it had made that call.

        def again() -> T:
            nonlocal failure
            if failure is not None:
                first, failure = failure, None
                raise first
            return self._once(hook, args)

        caller = (
            _stamina()
            .RetryingCaller(attempts=self._retry.attempts, timeout=None, wait_max=self._retry.max_wait)
            .on(_worth_retrying(self._retry.max_wait))
        )
        return cast("T", caller(again))

    def _once(self, hook: Callable[..., T], args: tuple[object, ...]) -> T:
        self.breaker.check()
        if self._turns is not None:
            self._turns.get()
        try:
            if self._pace is not None:
                self._pace.wait()
            answer = hook(*args) if self._total is None else within(self._total, hook, *args)
        except TierUnavailable as error:
            if not isinstance(error, TierThrottled):
                self.breaker.failed()
            raise
        except BackendFault:
            raise
        except TierError:
            self.breaker.succeeded()  # a refusal is an answer
            raise
        finally:
            if self._turns is not None:
                self._turns.put(None)
        self.breaker.succeeded()
        return answer


def _turns(count: int) -> SimpleQueue[None]:
    """A semaphore; threading's own takes ten times as long."""
    made: SimpleQueue[None] = SimpleQueue()
    for _ in range(count):
        made.put(None)
    return made


@cache
def _stamina() -> ModuleType:
    import stamina

    # It logs each retry; without a handler anywhere Python would print that on stderr, in a program's output.
    logging.getLogger("stamina").addHandler(logging.NullHandler())
    return stamina


def _worth_retrying(longest: float) -> Callable[[Exception], bool | float]:
    def decide(error: Exception) -> bool | float:
        if not isinstance(error, TierError) or not error.retryable:
            return False
        after = error.retry_after
        if not isinstance(after, int | float):
            return True
        # A medium that wants more patience than the user allows has answered: not now. A time that is past
        # already (clocks differ) is no wait.
        return max(0.0, after) if after <= longest else False

    return decide


def within(seconds: float, hook: Callable[..., T], *args: object) -> T:
    """Run a call in a thread that is left behind when it does not answer in time.

    A daemon thread, because one of a pool would keep the interpreter from ending. What a call that was left
    behind returns in the end is closed, so that nothing stays open.

    Raises:
        TierTimeout: It did not answer within `seconds`.
    """
    done: list[Any] = []
    lock = threading.Lock()
    left = False

    def run() -> None:
        try:
            answer: tuple[bool, Any] = (True, hook(*args))
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            answer = (False, error)
        with lock:
            done.append(answer)
            late = left
        if late and isinstance(answer[1], Blob | Dag):
            answer[1].close()

    thread = threading.Thread(target=run, name="ziggurat-call", daemon=True)
    thread.start()
    thread.join(seconds)
    with lock:
        left = not done
    if left:
        raise TierTimeout(f"did not answer within {seconds:g} s", retryable=True)
    answered, value = done[0]
    if not answered:
        raise value
    return cast("T", value)
