"""Failures that did not fail a request: kept for people to look at, and logged."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

__all__ = ["Failures"]

_log = logging.getLogger("ziggurat.engine")
_KEPT = 200


class Failures:
    """The last failures that another tier made good, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Exception] = deque(maxlen=_KEPT)

    def note(self, error: Exception) -> None:
        """Remember and log one."""
        self._kept.append(error)
        _log.warning("%s", error)

    def __iter__(self) -> Iterator[Exception]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
