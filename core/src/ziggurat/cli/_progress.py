"""Progress of long work: a bar with rate and time left, on stderr, when a person watches.

rich is imported only when a bar is shown, and a bar is shown only when the work turns out to be long.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar"]

_PATIENCE = 0.5
"""Seconds of work before a bar appears."""


class Bar:
    """A progress bar that is also the callback that the engine calls with the bytes it has done since.

    Use it as a context manager. Safe to call from several threads.

    Args:
        label: What is going on, such as "put docs".
        total: Bytes in all, None when unknown.
        watch: Whether to show anything; the default is whether stderr is a terminal.
        counted: What is counted if not bytes, such as "requests".
    """

    def __init__(
        self, label: str, total: int | None = None, *, watch: bool | None = None, counted: str = ""
    ) -> None:
        self._label, self._total, self._counted = label, total, counted
        self._watch = sys.stderr.isatty() if watch is None else watch
        self._since = time.monotonic()
        self._done = 0
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._watch = False
            if self._progress is not None:
                self._progress.stop()

    def __call__(self, count: int) -> None:
        """Note that `count` more bytes are done."""
        if not self._watch:
            return
        with self._lock:
            self._done += count
            if self._progress is not None and self._task is not None:
                self._progress.update(self._task, completed=self._done)
            elif self._watch and time.monotonic() - self._since >= _PATIENCE:
                self._show()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar off the terminal while something else is printed there."""
        with self._lock:
            progress = self._progress
            if progress is not None:
                progress.stop()
            try:
                yield
            finally:
                if progress is not None and self._watch:
                    progress.start()

    def _show(self) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        amount: tuple[ProgressColumn, ...] = (DownloadColumn(), TransferSpeedColumn())
        if self._counted:
            amount = (MofNCompleteColumn(), TextColumn(self._counted))
        # Records go to stdout themselves: rich must not redirect them into the bar's stream.
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            *amount,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(escape(self._label), total=self._total, completed=self._done)
        self._progress.start()
