"""Whole trees: a blob put, copied or adopted with all that it links to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from ziggurat.backend import Info
from ziggurat.catalog import CopyRow
from ziggurat.content import Cid
from ziggurat.content.assemble import assemble
from ziggurat.content.parcel import Parcel
from ziggurat.engine.events import Failures
from ziggurat.engine.pools import run_all
from ziggurat.engine.reader import Reader
from ziggurat.engine.records import Receipt
from ziggurat.engine.writer import Placement, Writer
from ziggurat.errors import BlobNotFound, UnsupportedContent
from ziggurat.tiers import StoreTier

__all__ = ["TreeWriter", "closure_of", "edges_of", "receipt_of"]

_ROWS = 500
"""Copies that may wait for the commit of their rows."""


def closure_of(root: Parcel) -> list[Parcel]:
    """A parcel and all beneath it, each once, children before parents."""
    ordered: dict[Cid, Parcel] = {}
    stack = [(root, False)]
    while stack:
        parcel, expanded = stack.pop()
        if parcel.cid in ordered:
            continue
        if expanded or not parcel.children:
            ordered[parcel.cid] = parcel
        else:
            stack.append((parcel, True))
            stack.extend((child, False) for child in reversed(parcel.children))
    return list(ordered.values())


def _refuse_inlined(cid: Cid) -> None:
    """An identity CID carries its own bytes: no tier keeps it."""
    if cid.identity is not None:
        raise UnsupportedContent(f"{cid} carries its own bytes, so there is nothing to keep", cid=cid)


def edges_of(closure: Iterable[Parcel]) -> list[tuple[str, str]]:
    """Parent and child keys of every link between blobs."""
    return [(str(parcel.cid.key), str(link.key)) for parcel in closure for link in parcel.links]


class TreeWriter:
    """Puts parcels with all that they link to.

    Args:
        writer: Puts single parcels.
        pool: Threads that put several children at once, so that their syncs are shared.
    """

    def __init__(self, writer: Writer, pool: Executor) -> None:
        self._writer, self._pool = writer, pool

    def put(self, root: Parcel, info: Info | None = None) -> Receipt:
        """Put a tree on as many stores as the stack promises.

        Every store that counts holds all of it: a store that refuses a part is passed over for the whole.

        Raises:
            StoreFull, NotDurable: Too few stores took it; copies that were made stay without a root.
            UnsupportedContent: Its CID carries its own bytes.
        """
        _refuse_inlined(root.cid)
        closure = closure_of(root)
        edges = edges_of(closure)
        with self._writer.adding():
            done, carried = Placement(), list[CopyRow]()
            try:
                for tier in self._writer.targets:
                    if len(done.copies) >= self._writer.min_copies:
                        break
                    carried += self._put_on(tier, root, closure, done, info)
            except BaseException:
                self._writer.record((), [done], edges, carried=carried)
                raise
            self._writer.acknowledge(root, done, edges=edges, info=info, carried=carried)
            self._writer.present(closure)
        return receipt_of(root, done)

    def copy(self, root: Parcel, tier: StoreTier, *, make_root: bool) -> Receipt:
        """Put a tree on one named store.

        Args:
            root: The tree.
            tier: Where.
            make_root: Keep it from gc, because nothing else does.

        Raises:
            TierError: The store refused it.
            UnsupportedContent: Its CID carries its own bytes.
        """
        _refuse_inlined(root.cid)
        closure = closure_of(root)
        with self._writer.adding():
            # What the tier has already may be wrong: that is often why somebody copies.
            done = Placement(resend=True)
            carried = self._put_on(tier, root, closure, done, None)
            if not done.copies:
                raise done.failures[0]
            self._writer.keep(root, done, edges=edges_of(closure), carried=carried, make_root=make_root)
            self._writer.present(closure)
        return receipt_of(root, done)

    def adopt(self, cid: Cid, tier: StoreTier, solo: Callable[[StoreTier, Failures], Reader]) -> Receipt:
        """Record as a root what a store keeps already, after proving all of it on that store alone.

        Raises:
            BlobNotFound, StoreUnavailable: The store does not keep all of it.
            UnsupportedContent: Its CID carries its own bytes.
        """
        _refuse_inlined(cid)
        reader = solo(tier, Failures())
        root = assemble(cid, reader)
        closure = closure_of(root)
        done, carried = Placement(), list[CopyRow]()
        with self._writer.adding():
            for parcel in closure:
                for _ in parcel.source() if parcel.source is not None else ():
                    pass  # each leaf is proved as it is read
            kept = [root] if tier.is_dag else closure
            for parcel in kept:
                if not tier.has(parcel.cid):
                    raise BlobNotFound(f"tier {tier.name!r} does not keep {parcel.cid}", cid=parcel.cid)
            rows = [self._writer.found_on(tier, parcel) for parcel in kept]
            if tier.is_dag:
                carried = _carried(closure, rows[0].medium)
            done = Placement([tier.name], rows)
            self._writer.keep(root, done, edges=edges_of(closure), carried=carried, make_root=True)
        return receipt_of(root, done)

    def _put_on(
        self, tier: StoreTier, root: Parcel, closure: list[Parcel], done: Placement, info: Info | None
    ) -> list[CopyRow]:
        """Put a tree on one store; returns the rows of children that the root's copy carries."""
        if tier.is_dag:
            made = len(done.copies)
            self._writer.copy_to(tier, root, done, info)
            if len(done.copies) == made:
                return []
            return _carried(closure, done.copies[-1].medium)
        if not self._children_on(tier, closure[:-1], done):
            return []
        self._writer.copy_to(tier, root, done, info)
        return []

    def _children_on(self, tier: StoreTier, children: list[Parcel], done: Placement) -> bool:
        """Put all children on a bytes store; False if one was refused (the reason is in `done`)."""

        def put(child: Parcel) -> Placement:
            placed = Placement(resend=done.resend)
            try:
                self._writer.copy_to(tier, child, placed)
            except Exception as error:  # noqa: BLE001 - raised below, once the others have ended
                placed.error = error
            return placed

        for first in range(0, len(children), _ROWS):
            found = run_all(self._pool, put, children[first : first + _ROWS])
            placements = [placed for placed in found if isinstance(placed, Placement)]
            self._writer.record((), placements)
            errors = [one for one in found if isinstance(one, Exception)]
            errors += [placed.error for placed in placements if placed.error is not None]
            if errors:
                raise errors[0]
            failures = [failure for placed in placements for failure in placed.failures]
            if failures:
                done.failures.append(failures[0])
                return False
        return True


def _carried(closure: list[Parcel], medium: str) -> list[CopyRow]:
    """Rows of the children that a dag store keeps as part of the last of `closure`."""
    under = str(closure[-1].cid.key)
    return [
        CopyRow(str(child.cid.key), medium, 0, encoding=child.encoding or None, under=under)
        for child in closure[:-1]
    ]


def receipt_of(parcel: Parcel, done: Placement) -> Receipt:
    """What a put of this parcel acknowledges."""
    return Receipt(parcel.cid, parcel.size, tuple(done.tiers), parcel.type)
