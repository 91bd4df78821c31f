"""Small puts of several threads, joined: one call to a tier and one synced commit for all who wait."""

from __future__ import annotations

from copy import copy

from ziggurat.content.parcel import Parcel
from ziggurat.engine.writer import Placement, Writer
from ziggurat.group import Group, Task

__all__ = ["Together"]

_SMALL = 64 << 10
_MOST = 64


class Together:
    """Puts parcels whose bytes are in memory, those of several threads in one batch.

    A put alone pays nothing for it. Of sixteen threads each would otherwise commit, and hand over the
    interpreter, for itself.

    Args:
        writer: Puts and acknowledges.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._group: Group[Parcel, Placement] = Group(self._put, _MOST)

    @staticmethod
    def takes(parcel: Parcel) -> bool:
        """True for a parcel that is small and at hand."""
        return parcel.data is not None and parcel.size <= _SMALL

    def put(self, parcel: Parcel) -> Placement:
        """Put and acknowledge; raises as `Writer.put`."""
        return self._group.do(parcel)

    def _put(self, batch: list[Task[Parcel, Placement]]) -> None:
        if len(batch) == 1:
            batch[0].finish(self._writer.put(batch[0].item))
            return
        parcels = {task.item.cid: task.item for task in batch}  # the same content is put once
        answers = self._writer.put_many(list(parcels.values()))
        found = dict(zip(parcels, answers, strict=True))
        for task in batch:
            answer = found[task.item.cid]
            if isinstance(answer, Exception):
                task.fail(copy(answer))  # raised in several threads, where it is the answer of several
            else:
                task.finish(answer)
