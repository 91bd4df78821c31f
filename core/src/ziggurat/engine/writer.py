"""Writing: a parcel to as many stores as the stack promises, then the rows, then the receipt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext

from attrs import define, field

from ziggurat.backend import Info
from ziggurat.catalog import Catalog, CopyRow, Reservation, RootRow
from ziggurat.content import Cid
from ziggurat.content.parcel import Parcel
from ziggurat.engine.events import Failures
from ziggurat.engine.intents import Intents
from ziggurat.engine.locks import StoreLock
from ziggurat.engine.places import Places
from ziggurat.engine.pools import run_all
from ziggurat.errors import (
    BlobTooLarge,
    NotDurable,
    StoreFull,
    TierDenied,
    TierError,
    TierFull,
    Unsupported,
    UnsupportedContent,
    ZigguratError,
)
from ziggurat.tiers import Kept, StoreTier

__all__ = ["Placement", "Writer"]

_ASK_FIRST = 1 << 20
"""Plain bytes above which a tier is asked whether it has the blob already."""


@define
class Placement:
    """Copies that were made, waiting for their rows.

    Attributes:
        tiers: Names of the tiers, in the order of the copies.
        copies: Their rows.
        noted: The room that they take, counted until the rows are recorded.
        failures: Why other tiers have none.
        error: What ended the put itself, such as a failing source; no tier is to blame.
        resend: Send even what a tier says it has.
    """

    tiers: list[str] = field(factory=list)
    copies: list[CopyRow] = field(factory=list)
    noted: list[Reservation] = field(factory=list)
    failures: list[Exception] = field(factory=list)
    error: Exception | None = None
    resend: bool = False


class Writer:
    """Puts parcels and records them.

    Args:
        places: The tiers.
        catalog: The rows; None for a stack without stores, where nothing can be put.
        lock: Held while copies are added.
        failures: Where failures are noted that another tier made good.
        min_copies: Copies that a put needs.
        pool: Threads that put several parcels at once, so that their syncs are shared.

    Attributes:
        intents: The puts under way.
    """

    def __init__(
        self,
        places: Places,
        catalog: Catalog | None,
        lock: StoreLock | None,
        failures: Failures,
        min_copies: int,
        pool: Executor,
    ) -> None:
        self._pool = pool
        self._places, self._catalog, self._lock = places, catalog, lock
        self._failures, self.min_copies = failures, min_copies
        self.intents = None if catalog is None else Intents(places, catalog)

    @property
    def targets(self) -> tuple[StoreTier, ...]:
        """The tiers that may be put to, in file order."""
        return tuple(tier for tier in self._places.stores if tier.writable)

    def adding(self) -> AbstractContextManager[None]:
        """Hold the right to add copies: a collection waits meanwhile."""
        return self._lock.shared() if self._lock is not None else nullcontext()

    def put(self, parcel: Parcel, info: Info | None = None) -> Placement:
        """Make a put's copies and acknowledge it; see `place` and `acknowledge`."""
        with self.adding():
            done = self.place(parcel, info)
            self.acknowledge(parcel, done, info=info)
        return done

    def put_many(self, parcels: Sequence[Parcel]) -> list[Placement | Exception]:
        """Make the copies of several small puts and acknowledge each, or refuse it, alone."""
        with self.adding():
            return self.acknowledge_many(parcels, self.place_many(parcels))

    def place(
        self, parcel: Parcel, info: Info | None = None, tiers: Iterable[StoreTier] | None = None
    ) -> Placement:
        """Make the copies that a put needs; nothing is recorded yet.

        Args:
            parcel: What to put.
            info: What the user says about it.
            tiers: Where to try, in order; all targets by default.

        Raises:
            Exception: Whatever the parcel's own source raised; copies made before have been recorded.
        """
        done = Placement()
        try:
            for tier in self.targets if tiers is None else tiers:
                if len(done.copies) >= self.min_copies:
                    break
                self.copy_to(tier, parcel, done, info)
        except BaseException:
            self.record((), [done])
            raise
        return done

    def place_many(self, parcels: Sequence[Parcel]) -> list[Placement]:
        """Make the copies that several small puts need, together where a tier can; records nothing."""
        placements = [Placement() for _ in parcels]
        for tier in self.targets:
            short = [
                (parcel, placed)
                for parcel, placed in zip(parcels, placements, strict=True)
                if len(placed.copies) < self.min_copies and placed.error is None
            ]
            if not short:
                break
            if tier.hooks.put_many is None or tier.config.capacity is not None:
                # Where room is reserved, each put is a step of its own.
                self._apart(tier, short)
            else:
                self._together(tier, short)
        return placements

    def _apart(self, tier: StoreTier, short: Sequence[tuple[Parcel, Placement]]) -> None:
        for (_, placed), error in zip(
            short, run_all(self._pool, lambda item: self.copy_to(tier, *item), short), strict=True
        ):
            placed.error = error if isinstance(error, Exception) else None

    def _together(self, tier: StoreTier, short: Sequence[tuple[Parcel, Placement]]) -> None:
        parcels = [parcel for parcel, _ in short]
        try:
            medium, intents = self._claimed(tier)
            noted = intents.begin_many(medium, [(parcel.cid, _size_on(tier, parcel)) for parcel in parcels])
            try:
                answers = tier.put_parcels(parcels)
            except BaseException as error:
                intents.failed(tier, noted, error)
                raise
        except (TierError, BlobTooLarge, UnsupportedContent) as error:
            for _, placed in short:
                placed.failures.append(error)
            return
        except ZigguratError as error:
            for _, placed in short:
                placed.error = error
            return
        for (parcel, placed), note, answer in zip(short, noted, answers, strict=True):
            if isinstance(answer, Kept):
                placed.tiers.append(tier.name)
                placed.copies.append(self._row(medium, parcel, answer))
                placed.noted.append(note)
                continue
            intents.failed(tier, [note], answer)
            if isinstance(answer, TierError) and answer.retryable and tier.guard.attempts > 1:
                self._apart(tier, [(parcel, placed)])  # a put of its own is tried again as the tier says
            else:
                placed.failures.append(answer)

    def copy_to(self, tier: StoreTier, parcel: Parcel, done: Placement, info: Info | None = None) -> None:
        """Put one copy on one tier; a refusal is added to `done.failures`."""
        try:
            medium, intents = self._claimed(tier)
            row = None if done.resend else self._held(tier, medium, parcel, above=_ASK_FIRST)
            if row is None:
                row = self._put(tier, medium, intents, parcel, done, info)
        except (TierError, BlobTooLarge, UnsupportedContent) as error:
            done.failures.append(error)
            return
        done.tiers.append(tier.name)
        done.copies.append(row)

    def _claimed(self, tier: StoreTier) -> tuple[str, Intents]:
        """The medium of a tier that may be written to, with this catalog's marker on it."""
        if tier.role != "store" or tier.hooks.read_only:
            raise Unsupported("is only read, never written", tier=tier.name, op="put")
        if not tier.writable:
            raise TierDenied(
                "is public, and what is published cannot be taken back; allow it with publish = true",
                tier=tier.name,
                op="put",
            )
        if self.intents is None:  # pragma: no cover - a stack with a store tier has a catalog
            raise NotDurable("this stack has no catalog, so nothing can be kept")
        return self._places.medium(tier, claim=True) or "", self.intents

    def _held(self, tier: StoreTier, medium: str, parcel: Parcel, *, above: int = -1) -> CopyRow | None:
        """The row of a copy that the tier keeps already: it is not sent again."""
        if parcel.size <= above or not tier.has(parcel.cid):
            return None
        known = self._places.rows(parcel.cid).get(medium)
        if known is not None and known.under is None:
            return known
        return self.found_on(tier, parcel)

    def found_on(self, tier: StoreTier, parcel: Parcel) -> CopyRow:
        """The row of a copy that a tier keeps although this catalog did not put it."""
        medium = self._places.medium(tier, claim=True) or ""
        stat, stored = tier.stat_key(parcel.cid.key), tier.occupied(parcel.cid)
        note = None if stat is None else stat.note
        return self._row(medium, parcel, Kept(stored or _size_on(tier, parcel), note))

    def _put(
        self,
        tier: StoreTier,
        medium: str,
        intents: Intents,
        parcel: Parcel,
        done: Placement,
        info: Info | None,
    ) -> CopyRow:
        size = _size_on(tier, parcel)
        note = intents.begin(tier, medium, parcel.cid, size)
        if note is None:
            held = self._held(tier, medium, parcel)
            if held is not None:  # a full tier keeps what it has
                return held
            raise TierFull(
                f"has no room for {size} bytes under its capacity of {tier.config.capacity}; raise the "
                "capacity, or remove blobs and run gc",
                tier=tier.name,
                op="put",
                key=parcel.cid.key,
            )
        try:
            kept = tier.put_parcel(parcel, info)
        except BaseException as error:
            intents.failed(tier, [note], error)
            raise
        done.noted.append(note)
        return self._row(medium, parcel, kept)

    def _row(self, medium: str, parcel: Parcel, kept: Kept) -> CopyRow:
        return CopyRow(
            key=str(parcel.cid.key),
            medium=medium,
            stored=kept.stored,
            note=kept.note,
            nodes_note=kept.nodes_note,
            encoding=parcel.encoding or None,
        )

    def acknowledge(
        self,
        parcel: Parcel,
        done: Placement,
        *,
        edges: Sequence[tuple[str, str]] = (),
        info: Info | None = None,
        carried: Sequence[CopyRow] = (),
    ) -> None:
        """Record a root with its copies, synced; only then is the put done.

        Args:
            parcel: The root.
            done: Its copies.
            edges: Parent and child keys beneath it.
            info: What the user said about it.
            carried: Rows of children that its closure carries.

        Raises:
            StoreFull, NotDurable: Too few copies; those that were made are recorded without a root.
        """
        if len(done.copies) < self.min_copies:
            self.record((), [done], edges, carried=carried)
            raise self._refusal(parcel.cid, done)
        root = _root_row(parcel)
        self.record([root], [done], edges, None if info is None else {root.key: info}, carried)
        self._done(parcel, done)

    def _done(self, parcel: Parcel, done: Placement) -> None:
        self._places.present(parcel.cid)
        for failure in done.failures:
            self._failures.note(failure)

    def acknowledge_many(
        self, parcels: Sequence[Parcel], placements: Sequence[Placement]
    ) -> list[Placement | Exception]:
        """Record several roots in one synced step; for each what was done, or why it is refused."""
        kept = [placed.error is None and len(placed.copies) >= self.min_copies for placed in placements]
        roots = [_root_row(parcel) for parcel, enough in zip(parcels, kept, strict=True) if enough]
        self.record(roots, placements)
        answers: list[Placement | Exception] = []
        for parcel, placed, enough in zip(parcels, placements, kept, strict=True):
            if enough:
                self._done(parcel, placed)
                answers.append(placed)
            else:
                answers.append(placed.error or self._refusal(parcel.cid, placed))
        return answers

    def keep(
        self,
        parcel: Parcel,
        done: Placement,
        *,
        edges: Sequence[tuple[str, str]] = (),
        carried: Sequence[CopyRow] = (),
        make_root: bool,
    ) -> None:
        """Record copies made or found outside a put, and their root where nothing else keeps them."""
        self.record([_root_row(parcel)] if make_root else (), [done], edges, carried=carried)
        self._places.present(parcel.cid)

    def present(self, parcels: Iterable[Parcel]) -> None:
        """Forget every "not there" about blobs that were just put."""
        for parcel in parcels:
            self._places.present(parcel.cid)

    def record(
        self,
        roots: Sequence[RootRow],
        placements: Sequence[Placement],
        edges: Sequence[tuple[str, str]] = (),
        info: Mapping[str, Info] | None = None,
        carried: Sequence[CopyRow] = (),
    ) -> None:
        """Write rows in one synced step, which take over what the puts' reservations held."""
        copies = [row for placed in placements for row in placed.copies] + list(carried)
        noted = [note for placed in placements for note in placed.noted]
        if self._catalog is not None and (roots or copies or edges):
            self._catalog.record_put(roots, copies, edges=edges, info=info, reservations=noted)

    def _refusal(self, cid: Cid, done: Placement) -> Exception:
        wanted = f"{self.min_copies} cop{'y is' if self.min_copies == 1 else 'ies are'} wanted"
        if not self.targets:
            return NotDurable(
                f"{cid} was not kept: this stack has no store tier that may be written; add one, or set "
                "publish = true on a public one",
                cid=cid,
            )
        if done.failures and all(isinstance(failure, TierFull) for failure in done.failures):
            return StoreFull(
                f"{cid} was not kept: {wanted}, {len(done.copies)} could be made",
                failures=done.failures,
                cid=cid,
            )
        return NotDurable(
            f"{cid} was not kept: {wanted}, {len(done.copies)} could be made", failures=done.failures, cid=cid
        )


def _root_row(parcel: Parcel) -> RootRow:
    return RootRow(
        key=str(parcel.cid.key),
        cid=str(parcel.cid),
        size=parcel.size,
        type=parcel.type,
        encoding=parcel.encoding or None,
    )


def _size_on(tier: StoreTier, parcel: Parcel) -> int:
    """Payload bytes that a parcel will take on a tier."""
    return (parcel.dag().size or 0) if tier.is_dag else parcel.stored
