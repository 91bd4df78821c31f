"""Tasks of several threads in one batch: each is done once, and answered for itself."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ziggurat import group as module
from ziggurat.group import Group, Task

Batch = list[Task[str, str]]


class Desk:
    """Does tasks when it is told to."""

    def __init__(self) -> None:
        self.gate, self.inside = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []
        self.fails: list[BaseException] = []
        self.group: Group[str, str] = Group(self.run, 4)
        self.answers: dict[int, Any] = {}
        self.threads: list[threading.Thread] = []

    def run(self, batch: Batch) -> None:
        self.batches.append([task.item for task in batch])
        self.inside.set()
        assert self.gate.wait(20)
        if self.fails and len(self.batches) > 1:
            raise self.fails.pop()
        for task in batch:
            if task.item == "bad":
                task.fail(ValueError("bad"))
            else:
                task.finish(task.item.upper())

    def start(self, *items: str) -> None:
        """Ask for each in a thread of its own, in order."""
        for item in items:
            waiting = len(self.group._queue) + 1
            thread = threading.Thread(target=self._ask, args=(len(self.threads), item), daemon=True)
            self.threads.append(thread)
            thread.start()
            if len(self.threads) == 1:
                assert self.inside.wait(20)
            else:
                self._wait_for(waiting)

    def _wait_for(self, waiting: int) -> None:
        until(lambda: len(self.group._queue) >= waiting or len(self.batches) > 1)

    def _ask(self, number: int, item: str) -> None:
        try:
            self.answers[number] = self.group.do(item)
        except BaseException as error:  # noqa: BLE001 - of whatever kind, it is looked at
            self.answers[number] = error

    def end(self) -> dict[int, Any]:
        self.gate.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        assert not self.group._queue
        assert not self.group._led
        return self.answers


def until(what: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.001)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_those_who_wait_are_done_together_and_answered_each(desk: Desk) -> None:
    desk.start("first", "a", "bad", "b")
    answers = desk.end()
    assert desk.batches == [["first"], ["a", "bad", "b"]]
    assert [answers[number] for number in (0, 1, 3)] == ["FIRST", "A", "B"]
    assert isinstance(answers[2], ValueError)


def test_no_batch_is_larger_than_it_may_be(desk: Desk) -> None:
    desk.start("first", "a", "b", "c", "d", "e", "f")
    desk.end()
    assert desk.batches == [["first"], ["a", "b", "c", "d"], ["e", "f"]]


def test_a_failure_of_all_is_told_to_each(desk: Desk) -> None:
    desk.fails = [OSError(28, "full")]
    desk.start("first", "a", "b")
    answers = desk.end()
    assert [str(answers[number]) for number in (1, 2)] == ["[Errno 28] full"] * 2
    assert answers[1] is not answers[2], "raised in two threads"


def test_an_interrupt_is_the_leaders_alone(desk: Desk) -> None:
    desk.fails = [KeyboardInterrupt()]
    desk.start("first", "a", "b", "c")
    answers = desk.end()
    assert isinstance(answers[1], KeyboardInterrupt)
    assert desk.batches == [["first"], ["a", "b", "c"], ["b", "c"]]
    assert [answers[2], answers[3]] == ["B", "C"]


def test_what_was_done_before_an_interrupt_is_not_done_again() -> None:
    done: list[str] = []
    turn, inside = threading.Event(), threading.Event()

    def run(batch: Batch) -> None:
        inside.set()
        assert turn.wait(20)
        for task in batch:
            done.append(task.item)
            task.finish(task.item)
        if len(batch) > 1:
            raise KeyboardInterrupt

    desk = Desk()
    desk.group, desk.inside, desk.gate = Group(run, 9), inside, turn
    desk.start("first", "a", "b")
    answers = desk.end()
    assert done == ["first", "a", "b"]
    assert answers[2] == "b"


def interrupted(desk: Desk, when: Callable[[], bool], then: Callable[[], object]) -> None:
    """Wait for a task in this thread, which is interrupted once something is so."""

    def interrupt() -> None:
        until(when)
        then()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        desk.group.do("mine")
    thread.join(20)


def test_who_is_interrupted_while_waiting_is_not_waited_for(desk: Desk) -> None:
    desk.start("first")
    interrupted(desk, lambda: len(desk.group._queue) == 1, lambda: None)
    desk.start("a")
    assert desk.end() == {0: "FIRST", 1: "A"}
    assert desk.batches == [["first"], ["a"]]


def test_a_batch_goes_on_without_a_member_that_was_interrupted(desk: Desk) -> None:
    """Also when the batch is run again: nobody would lead in the place of one who is gone."""
    desk.start("first")
    desk.fails = [KeyboardInterrupt()]
    second = threading.Event()

    def run(batch: Batch) -> None:
        if len(batch) == 3 and not second.is_set():
            second.set()
            assert left.wait(20)
        Desk.run(desk, batch)

    left = threading.Event()
    desk.group._run = run
    desk.start("a")

    def third() -> None:
        until(lambda: len(desk.group._queue) == 2)
        desk.start("b")

    ready = threading.Thread(target=third)
    ready.start()

    def go() -> None:
        ready.join(20)
        desk.gate.set()
        assert second.wait(20)

    interrupted(desk, lambda: len(desk.group._queue) >= 2, go)
    left.set()
    answers = desk.end()
    assert desk.batches == [["first"], ["a", "mine", "b"], ["b"]]
    assert isinstance(answers[1], KeyboardInterrupt)
    assert answers[2] == "B"


def test_who_leads_waits_for_those_of_the_last_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EACH", 20.0)
    monkeypatch.setattr(module, "_LONGEST", 20.0)
    desk.start("first", "a", "b")
    desk.end()
    late = [threading.Thread(target=desk._ask, args=(number, item)) for number, item in ((7, "x"), (8, "y"))]
    for thread in late:
        thread.start()
    for thread in late:
        thread.join(20)
    assert [sorted(batch) for batch in desk.batches] == [["first"], ["a", "b"], ["x", "y"]]


def test_who_does_not_come_back_is_waited_for_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST", 0.01)
    desk.start("first", "a", "b")
    desk.end()
    assert desk.group.do("x") == "X"
    monkeypatch.setattr(module, "_LONGEST", -1.0)  # no lock waits so: it would raise
    assert desk.group.do("y") == "Y"
    assert desk.batches[2:] == [["x"], ["y"]]


def test_every_task_of_many_threads_is_done_once_whatever_is_interrupted() -> None:
    done: list[int] = []
    chance = random.Random(5)

    def run(batch: list[Task[int, int]]) -> None:
        for task in batch:
            if chance.random() < 0.02:
                raise KeyboardInterrupt
            if chance.random() < 0.02:
                raise OSError
            done.append(task.item)
            task.finish(-task.item)
            time.sleep(0)

    joined: Group[int, int] = Group(run, 8)
    kept: list[int] = []

    def work(first: int) -> None:
        for item in range(first, first + 400):
            try:
                assert joined.do(item) == -item
            except (KeyboardInterrupt, OSError):
                continue
            kept.append(item)

    threads = [threading.Thread(target=work, args=(1 + seed * 400,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(done) == len(set(done)), "done twice"
    assert set(kept) <= set(done)
    assert len(kept) > 1600
