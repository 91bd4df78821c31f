"""Thread pools of a store, which say what is wrong once the store is closed or was left behind by a fork."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

from ziggurat.errors import StoreError

__all__ = ["Pool", "end_all", "run_all"]

P = ParamSpec("P")
A = TypeVar("A")
T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """A thread pool whose refusal is a `StoreError`; threads start when there is something to do.

    Args:
        workers: Threads at most.
        name: Prefix of their names.
    """

    def __init__(self, workers: int, name: str) -> None:
        super().__init__(workers, name)
        self._pid = os.getpid()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `concurrent.futures.Executor.submit`.

        Raises:
            StoreError: The store was closed, or opened before a fork.
        """
        if os.getpid() != self._pid:
            raise StoreError("this store was opened before a fork; open a new one in this process")
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            raise StoreError("this store is closed; open it again") from error


def end_all(futures: Collection[Future[T]]) -> None:
    """Give up the calls that have not begun, and return when none is under way any more."""
    for future in futures:
        future.cancel()
    wait(futures)


def run_all(pool: Executor, call: Callable[[A], T], items: Iterable[A]) -> list[T | Exception]:
    """Call something for each item, and return only when no call is under way any more.

    Returns:
        For each item, in order, what the call returned, or the exception that it raised.

    Raises:
        BaseException: An interrupt; calls that had not begun are given up.
    """
    futures: list[Future[T]] = []
    try:
        futures.extend(pool.submit(call, item) for item in items)
        wait(futures)
    except BaseException:
        end_all(futures)
        raise
    found: list[T | Exception] = []
    for future in futures:
        error = future.exception()
        if error is None:
            found.append(future.result())
        elif isinstance(error, Exception):
            found.append(error)
        else:
            raise error
    return found
