"""What is put, watched on its way: an error of its own is told from one of the tier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

from ziggurat.backend import Blob, Dag

__all__ = ["Content", "Source", "SourceFailed"]

T = TypeVar("T")
Content: TypeAlias = bytes | Blob | Dag


class SourceFailed(Exception):
    """Carries an error of a put's own source past the guard: not retried, not counted, not translated."""


class Source:
    """Content on its way into a backend; remembers an error of its own, so that no tier is blamed."""

    def __init__(self, content: Content) -> None:
        self.error: Exception | None = None
        self.content: Content = content
        if isinstance(content, Blob):
            self.content = Blob(
                content.size,
                lambda: self._watched(content.chunks),
                close=content.close,
                pread=content.pread,
            )
        elif isinstance(content, Dag):
            self.content = Dag(
                lambda: self._watched(content.pairs),
                size=content.size,
                car=lambda: self._watched(content.car),
                close=content.close,
            )

    def _watched(self, start: Callable[[], Iterator[T]]) -> Iterator[T]:
        self.error = None  # a backend may begin again after a failure of its own
        try:
            yield from start()
        except Exception as error:
            self.error = error
            raise
