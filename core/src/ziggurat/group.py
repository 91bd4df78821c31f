"""Group commit: what several threads want done at once, one of them does for all.

A lock would do as well, one thread after another; but then each pays for itself what a batch pays once (a
sync, a round trip), and waits for the lock even to learn that its work was done by somebody else.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from copy import copy
from typing import Generic, TypeVar, cast

__all__ = ["Group", "Task"]

T = TypeVar("T")
R = TypeVar("R")

_EACH = 1e-4
"""Seconds that a leader waits for each thread that is expected: what one takes to prepare its next task."""
_LONGEST = 2e-3
"""Seconds that it waits for all of them at most."""


class Task(Generic[T, R]):
    """What one thread wants done, and what came of it.

    Attributes:
        item: What it wants done.
        result: What came of it, unless there is an `error`.
        error: Raised in the thread that waits.
        done: True once either is known.
    """

    __slots__ = ("done", "error", "item", "leads", "left", "result", "woken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.result: R | None = None
        self.error: BaseException | None = None
        self.done = False
        self.leads = self.left = False  # under the group's mutex: it does the next batch; nobody waits for it
        self.woken: threading.Lock | None = None

    def finish(self, result: R) -> None:
        """Take down what came of it."""
        self.result, self.done = result, True

    def fail(self, error: BaseException) -> None:
        """Take down why nothing came of it."""
        self.error, self.done = error, True


class Group(Generic[T, R]):
    """Does tasks in batches: whoever finds nobody at work leads, and the others wait for it.

    A thread that is alone pays for nothing of this. Who leads after others waits, for as long as they take to
    come back and no longer, until the batch is as large as the last one was.

    Args:
        run: Does a batch, in the thread that leads it: finishes or fails each task. What it raises is told to
            each task that is not done. An interrupt (such as KeyboardInterrupt) is the leader's alone: the
            tasks of the others that are not done are run again.
        most: Tasks in a batch.
    """

    def __init__(self, run: Callable[[list[Task[T, R]]], None], most: int) -> None:
        self._run, self._most = run, most
        self._mutex = threading.Lock()
        self._queue: deque[Task[T, R]] = deque()
        self._led = False
        self._last = 1
        self._expected = 0
        self._arrived: threading.Lock | None = None

    def do(self, item: T) -> R:
        """Do it, alone or with others; returns or raises what came of it."""
        task: Task[T, R] = Task(item)
        with self._mutex:
            if self._led:
                self._join(task)
            else:
                self._led = task.leads = True
        if task.woken is not None:
            try:
                task.woken.acquire()
            except BaseException:
                self._leave(task)
                raise
        if task.leads:
            self._lead(task)
        if task.error is not None:
            raise task.error
        return cast("R", task.result)

    def _join(self, task: Task[T, R]) -> None:
        task.woken = _taken()
        self._queue.append(task)
        if self._arrived is not None and len(self._queue) >= self._expected:
            self._arrived.release()
            self._arrived = None

    def _leave(self, task: Task[T, R]) -> None:
        """Nobody waits for a task any more; a batch that it is in goes on."""
        with self._mutex:
            task.left = True
            if task in self._queue:
                self._queue.remove(task)
        if task.leads:
            self._pass_on()

    def _lead(self, leader: Task[T, R]) -> None:
        batch = [leader]
        try:
            self._gather(batch)
            self._run(batch)
        except Exception as error:  # noqa: BLE001 - told to each who waits, and raised there
            for task in batch:
                if not task.done:
                    task.fail(error if task is leader else copy(error))
        except BaseException:
            with self._mutex:
                again = [task for task in batch[1:] if not (task.done or task.left or task in self._queue)]
                self._queue.extendleft(reversed(again))
            raise
        finally:
            for task in batch:
                if task.done and task.woken is not None and task is not leader:
                    task.woken.release()
            self._pass_on()

    def _gather(self, batch: list[Task[T, R]]) -> None:
        """Take who waits into the batch, after those who are expected back."""
        queue = self._queue
        if self._last == 1 and not queue:
            return
        with self._mutex:
            self._expected = self._last - 1
            missing = self._expected - len(queue)
            arrived = self._arrived = _taken() if missing > 0 else None
        if arrived is not None:
            arrived.acquire(timeout=min(missing * _EACH, _LONGEST))
        with self._mutex:
            self._arrived = None
            while queue and len(batch) < self._most:
                batch.append(queue[0])  # it is in one of the two at any moment, whatever interrupts this
                queue.popleft()
            self._last = len(batch)

    def _pass_on(self) -> None:
        """Let the next one lead, if there is one."""
        with self._mutex:
            following = self._queue.popleft() if self._queue else None
            if following is None:
                self._led = False
            else:
                following.leads = True
        if following is not None and following.woken is not None:
            following.woken.release()


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
