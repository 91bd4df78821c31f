"""Putting many small contents: sent and recorded together, acknowledged one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from ziggurat.content import Profile
from ziggurat.content.parcel import Parcel
from ziggurat.content.sources import PutSource, parcel_of
from ziggurat.engine.records import Receipt
from ziggurat.engine.trees import receipt_of
from ziggurat.engine.writer import Placement, Writer
from ziggurat.errors import ZigguratError

__all__ = ["PutMany"]

_ITEMS = 256
_BYTES = 16 << 20
_SMALL = 1 << 20


class PutMany:
    """Puts contents in batches.

    Args:
        writer: Puts parcels.
        profile: How they are named.
        spool: Gives the folder for what cannot be read twice.
        pool: Threads that hash, and that put several parcels at once.
    """

    def __init__(self, writer: Writer, profile: Profile, spool: Callable[[], Path], pool: Executor) -> None:
        self._writer, self._profile, self._spool, self._pool = writer, profile, spool, pool

    def put(self, sources: Iterable[PutSource]) -> Iterator[Receipt | Exception]:
        """Put each source; see `Store.put_many`."""
        batch: list[Parcel | Receipt | Exception] = []
        held = 0
        for source in sources:
            item = self._take(source)
            batch.append(item)
            held += item.size if isinstance(item, Parcel) else 0
            if len(batch) >= _ITEMS or held >= _BYTES or isinstance(item, Receipt):
                yield from self._flush(batch)
                batch, held = [], 0
        yield from self._flush(batch)

    def _take(self, source: PutSource) -> Parcel | Receipt | Exception:
        """The parcel of a small source, which waits for others; a large one is put at once."""
        try:
            with parcel_of(source, self._profile, spool=self._spool, pool=self._pool) as parcel:
                if parcel.data is not None and parcel.size <= _SMALL:
                    return parcel
                return receipt_of(parcel, self._writer.put(parcel))
        except Exception as error:  # noqa: BLE001 - whatever a source raises is the answer to that source
            return error

    def _flush(self, batch: list[Parcel | Receipt | Exception]) -> Iterator[Receipt | Exception]:
        parcels = list({item.cid: item for item in batch if isinstance(item, Parcel)}.values())
        answers: dict[object, Placement | Exception] = {}
        if parcels:
            try:
                found = self._writer.put_many(parcels)
                answers = dict(zip((parcel.cid for parcel in parcels), found, strict=True))
            except (
                ZigguratError,
                OSError,
            ) as error:  # no rows were written: nothing was acknowledged
                answers = dict.fromkeys((parcel.cid for parcel in parcels), error)
        for item in batch:
            if not isinstance(item, Parcel):
                yield item
                continue
            answer = answers[item.cid]
            yield answer if isinstance(answer, Exception) else receipt_of(item, answer)
