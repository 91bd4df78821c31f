"""What a store did on its tiers, told to the catalog now and then and added up over all processes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping

from ziggurat.catalog import Catalog, Tally
from ziggurat.engine.events import Failures
from ziggurat.errors import ZigguratError

__all__ = ["Teller"]

_EVERY = 30.0
"""Seconds between two tellings: what a process loses at most that is killed."""


class Teller:
    """Tells the catalog what one store did since it told last, from a thread of its own.

    A reader never waits for it: it looks at counters that reads add to without knowing of it.

    Args:
        catalog: Where the tallies of all processes are; None to tell nobody.
        failures: Where failures are noted: what could not be told is told next time.
        settle: Brings the counters up to date; called before each telling but the last.
        done: What the store did so far, by tier.

    Attributes:
        idle: True until `start`, and never where there is nobody to tell.
    """

    def __init__(
        self,
        catalog: Catalog | None,
        failures: Failures,
        settle: Callable[[], object],
        done: Callable[[], Mapping[str, Tally]],
    ) -> None:
        self._catalog, self._failures = catalog, failures
        self._settle, self._done = settle, done
        self._told: dict[str, Tally] = {}
        # What is told and the note that it was told are one step: a look in between would count it twice.
        self._step = threading.Lock()
        self._starting = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.idle = catalog is not None

    def start(self) -> None:
        """Begin to tell, about every half minute; harmless when repeated."""
        with self._starting:
            if self.idle:
                self.idle = False
                # Weak, so that a store which nobody closes goes when nobody uses it any more.
                self._thread = threading.Thread(
                    target=_run, args=(weakref.ref(self), self._ended), name="ziggurat-tell", daemon=True
                )
                self._thread.start()

    def turn(self) -> None:
        """What the thread does at each turn; never fails."""
        try:
            self._settle()
        except Exception as error:  # noqa: BLE001 - a policy may be a plugin's, and the thread must live on
            self._failures.note(error)
        self.tell()

    def tell(self) -> None:
        """Add to the catalog what was done since the last telling; a failure is noted."""
        if self._catalog is None:
            return
        try:
            with self._step:
                done = dict(self._done())
                since = self._untold(done)
                self._catalog.tallies.add({tier: tally for tier, tally in since.items() if tally != Tally()})
                self._told = done
        except (ZigguratError, OSError) as error:
            self._failures.note(error)

    def _untold(self, done: Mapping[str, Tally]) -> dict[str, Tally]:
        return {tier: tally.minus(self._told.get(tier, Tally())) for tier, tally in done.items()}

    def look(self) -> tuple[Mapping[str, Tally], Mapping[str, Tally] | None]:
        """What this store did so far, and what all did, by tier, both at one moment.

        The second is what every process told last with what this one has not told yet; None without a
        catalog, or when it cannot be read, which is noted.
        """
        if self._catalog is None:
            return self._done(), None
        with self._step:
            done = self._done()
            try:
                told = self._catalog.tallies.all()
            except (ZigguratError, OSError) as error:
                self._failures.note(error)
                return done, None
            since = self._untold(done)
        return done, {tier: told.get(tier, Tally()).plus(tally) for tier, tally in since.items()}

    def close(self) -> None:
        """End the thread, and tell the rest."""
        with self._starting:
            self.idle = False
            self._ended.set()
            thread = self._thread
        if thread is not None:
            thread.join()
        self.tell()


def _run(teller: weakref.ref[Teller], ended: threading.Event) -> None:
    while not ended.wait(_EVERY):
        here = teller()
        if here is None:
            return
        here.turn()
        del here
