"""How a tier is called: timeouts, breaker, retry, limits; with a clock of our own where time matters."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
import stamina
from tests.support.rigged import patient

from ziggurat.backend import Blob
from ziggurat.config.model import Limit, Retry
from ziggurat.errors import (
    BackendFault,
    TierDenied,
    TierError,
    TierFull,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
)
from ziggurat.tiers.guard import Breaker, Guard, Pace, within


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failing(*errors: Exception, then: Any = "answer") -> Any:
    left = list(errors)
    calls: list[int] = []

    def hook(*args: object) -> Any:
        calls.append(1)
        if left:
            raise left.pop(0)
        return then

    hook.calls = calls  # type: ignore[attr-defined]  # for the test to look at
    return hook


@pytest.fixture
def quick() -> Any:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


# -- breaker --------------------------------------------------------------------------------------


def test_breaker_rests_after_consecutive_failures_and_lets_one_try() -> None:
    clock = Clock()
    breaker = Breaker(3, clock)
    for _ in range(2):
        breaker.failed()
    breaker.check()
    assert not breaker.resting
    breaker.failed()
    assert breaker.resting
    with pytest.raises(TierUnavailable, match=r"left alone for 5\.0 s after 3 failures"):
        breaker.check()
    clock.now += 5.1
    breaker.check()  # one tries for all
    with pytest.raises(TierUnavailable):
        breaker.check()
    breaker.succeeded()
    breaker.check()
    breaker.check()


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker(2, Clock())
    for _ in range(10):
        breaker.failed()
        breaker.check()
        breaker.succeeded()


def test_rest_doubles_up_to_a_minute_and_starts_small_again() -> None:
    clock = Clock()
    breaker = Breaker(1, clock)
    rests = []
    for _ in range(6):
        breaker.failed()
        before = clock.now
        while breaker.resting:
            clock.now += 0.5
        rests.append(clock.now - before)
        breaker.check()
    assert rests == [5, 10, 20, 40, 60, 60]
    breaker.succeeded()
    breaker.failed()
    clock.now += 5
    breaker.check()


def test_no_breaker_never_rests() -> None:
    breaker = Breaker(0, Clock())
    for _ in range(100):
        breaker.failed()
    breaker.check()


@pytest.mark.parametrize("answer", [TierFull("full"), TierDenied("denied")])
def test_a_refusal_is_an_answer(answer: TierError) -> None:
    guard = Guard(Retry(attempts=1), Limit(), None, 2)
    for _ in range(5):
        with pytest.raises(TierUnavailable):
            guard.call(failing(TierUnavailable("down")))
        with pytest.raises(type(answer)):
            guard.call(failing(answer))
    assert not guard.breaker.resting


@pytest.mark.parametrize("error", [TierThrottled("slow down"), BackendFault("bug")])
def test_throttling_and_bugs_do_not_open_it(error: TierError) -> None:
    guard = Guard(Retry(attempts=1), Limit(), None, 1)
    for _ in range(5):
        with pytest.raises(type(error)):
            guard.call(failing(error))
    assert not guard.breaker.resting


def test_while_it_rests_the_backend_is_not_called() -> None:
    guard = Guard(Retry(attempts=1), Limit(), None, 1)
    with pytest.raises(TierUnavailable):
        guard.call(failing(TierUnavailable("down")))
    hook = failing()
    with pytest.raises(TierUnavailable, match="left alone"):
        guard.call(hook)
    assert not hook.calls


# -- pace and limit -------------------------------------------------------------------------------


def test_pace_spaces_calls_evenly() -> None:
    clock = Clock()
    pace = Pace(4.0, clock, clock.sleep)
    for _ in range(5):
        pace.wait()
    assert clock.now == pytest.approx(1001.0)
    assert clock.slept == pytest.approx([0.25] * 4)


def test_pace_gives_no_credit_for_idle_time() -> None:
    clock = Clock()
    pace = Pace(2.0, clock, clock.sleep)
    pace.wait()
    clock.now += 100
    pace.wait()
    pace.wait()
    assert clock.slept == pytest.approx([0.5])


def test_concurrency_is_never_exceeded() -> None:
    guard = Guard(Retry(attempts=1), Limit(concurrency=3), None, 0)
    lock, at_once, most = threading.Lock(), 0, 0
    gate = threading.Event()

    def hook() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            if at_once == 3:
                gate.set()
        gate.wait(60)
        with lock:
            at_once -= 1

    threads = [threading.Thread(target=guard.call, args=(hook,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 3


def test_a_failed_call_gives_its_slot_back() -> None:
    guard = Guard(Retry(attempts=1), Limit(concurrency=1), None, 0)
    for _ in range(3):
        with pytest.raises(TierUnavailable):
            guard.call(failing(TierUnavailable("down")))
    assert guard.call(failing()) == "answer"


# -- retry ----------------------------------------------------------------------------------------


def test_retryable_failures_are_tried_again(quick: None) -> None:
    guard = Guard(Retry(attempts=3), Limit(), None, 0)
    hook = failing(TierUnavailable("a", retryable=True), TierTimeout("b", retryable=True))
    assert guard.call(hook, "key") == "answer"
    assert len(hook.calls) == 3


def test_other_failures_are_not(quick: None) -> None:
    guard = Guard(Retry(attempts=3), Limit(), None, 0)
    for error in (TierUnavailable("down"), TierFull("full"), BackendFault("bug"), ValueError("x")):
        hook = failing(error)
        with pytest.raises(type(error)):
            guard.call(hook)
        assert len(hook.calls) == 1


def test_attempts_end(quick: None) -> None:
    guard = Guard(Retry(attempts=3), Limit(), None, 0)
    hook = failing(*(TierUnavailable(str(i), retryable=True) for i in range(9)))
    with pytest.raises(TierUnavailable, match="2"):
        guard.call(hook)
    assert len(hook.calls) == 3


def test_who_asks_for_more_patience_than_allowed_is_not_waited_for(quick: None) -> None:
    guard = Guard(Retry(attempts=3, max_wait=1.0), Limit(), None, 0)
    hook = failing(TierThrottled("later", retryable=True, retry_after=3600))
    with pytest.raises(TierThrottled):
        guard.call(hook)
    assert len(hook.calls) == 1


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [-3.0, 0.0, 0, "soon"])
def test_a_time_to_wait_that_is_past_or_no_time_is_no_reason_to_fail(after: Any) -> None:
    hook = failing(TierThrottled("slow down", retryable=True, retry_after=after))
    guard = Guard(Retry(attempts=2, max_wait=0.01), Limit(), None, 0)
    assert guard.call(hook) == "answer"


def test_a_retry_prints_nothing() -> None:
    """stamina logs it; where nobody handles logs, Python would print them on stderr."""
    code = """
from ziggurat.config.model import Limit, Retry
from ziggurat.errors import TierUnavailable
from ziggurat.tiers.guard import Guard
answers = [TierUnavailable("down", retryable=True, retry_after=0.0)]
def hook():
    if answers:
        raise answers.pop()
Guard(Retry(attempts=2, max_wait=0.01), Limit(), None, 0).call(hook)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_call_that_hangs_is_left_behind() -> None:
    gate = threading.Event()
    guard = Guard(Retry(attempts=1), Limit(concurrency=1), 0.05, 0)
    with pytest.raises(TierTimeout) as caught:
        guard.call(gate.wait, 20)
    assert caught.value.retryable
    assert patient(lambda: guard.call(failing())) == "answer"
    gate.set()


def test_what_comes_too_late_is_closed() -> None:
    gate, closed = threading.Event(), threading.Event()

    def slow() -> Blob:
        gate.wait(20)
        return Blob(1, lambda: (b"x",), close=closed.set)

    with pytest.raises(TierTimeout):
        within(0.02, slow)
    gate.set()
    assert closed.wait(60)


def test_errors_come_out_of_the_thread() -> None:
    with pytest.raises(TierFull):
        within(5, failing(TierFull("full")))
    with pytest.raises(KeyboardInterrupt):
        within(5, failing(KeyboardInterrupt()))  # type: ignore[arg-type]  # not an Exception
