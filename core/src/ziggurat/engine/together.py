"""Small puts of several threads, joined: one call to a tier and one synced commit for all who wait."""

from __future__ import annotations

import threading
from collections import deque
from copy import copy

from ziggurat.content.parcel import Parcel
from ziggurat.engine.writer import Placement, Writer

__all__ = ["Together"]

_SMALL = 64 << 10
_MOST = 64


class _Waiting:
    """A put that waits for its batch."""

    __slots__ = ("answer", "parcel")

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self.answer: Placement | Exception | None = None


class Together:
    """Puts parcels whose bytes are in memory; whoever finds nobody at work leads for all who wait.

    A put alone pays nothing for it. Of sixteen threads each would otherwise commit, and hand over the
    interpreter, for itself.

    Args:
        writer: Puts and acknowledges.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._turn = threading.Lock()
        self._queue: deque[_Waiting] = deque()

    @staticmethod
    def takes(parcel: Parcel) -> bool:
        """True for a parcel that is small and at hand."""
        return parcel.data is not None and parcel.size <= _SMALL

    def put(self, parcel: Parcel) -> Placement:
        """Put and acknowledge; raises as `Writer.put`."""
        waiting = _Waiting(parcel)
        self._queue.append(waiting)
        while waiting.answer is None:
            with self._turn:
                if waiting.answer is None:
                    self._lead(waiting, [self._queue.popleft() for _ in range(min(len(self._queue), _MOST))])
        if isinstance(waiting.answer, Exception):
            raise waiting.answer
        return waiting.answer

    def _lead(self, leader: _Waiting, batch: list[_Waiting]) -> None:
        parcels = {waiting.parcel.cid: waiting.parcel for waiting in batch}
        try:
            if len(parcels) == 1:
                answers: list[Placement | Exception] = [self._writer.put(batch[0].parcel)]
            else:
                answers = self._writer.put_many(list(parcels.values()))
        except Exception as error:  # noqa: BLE001 - told to each who waits, and raised there
            for waiting in batch:
                waiting.answer = error if waiting is leader else copy(error)
            return
        except BaseException:
            # An interrupt is the leader's alone: whoever else waits is led by another.
            self._queue.extendleft(reversed([waiting for waiting in batch if waiting is not leader]))
            raise
        found = dict(zip(parcels, answers, strict=True))
        for waiting in batch:
            waiting.answer = found[waiting.parcel.cid]
