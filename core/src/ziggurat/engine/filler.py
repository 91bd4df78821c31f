"""Persistent caches and the thread that fills them: bounded, batched, never in a reader's way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ziggurat.backend import Medium
from ziggurat.catalog import Admission, Catalog
from ziggurat.config.model import PolicyConfig
from ziggurat.engine.events import Failures
from ziggurat.engine.policies import Experience, careful, ranker_for
from ziggurat.engine.records import Expectation
from ziggurat.errors import ConfigError, TierUnavailable, ZigguratError
from ziggurat.policy import Observer, Ranker
from ziggurat.tiers import CacheTier

__all__ = ["Filler", "PersistentCache"]

_QUEUE_BYTES = 128 << 20
_BATCH = 64
_TOUCHES = 4096
_PRESSING = _QUEUE_BYTES // 8
"""Bytes in the queue of one cache at which they are filled whatever readers do."""
_QUIET = 0.01
"""Seconds without a new block after which readers are taken to rest: the filler stays away from their
interpreter lock and their processors until then."""
_LONGEST = 0.5
"""Seconds that a block waits for that at most, before its batch has its turn."""


class PersistentCache:
    """A cache that outlives the process and that processes share; its residency lives in the catalog.

    Args:
        tier: The tier, capacity included.
        catalog: Whose rows account it.
        policy: Orders the rows that the catalog sampled.
        filler: The thread that puts blocks.
        failures: Where failures are noted.

    Attributes:
        waiting: Blocks in the filler's queue; it alone changes them.
        waiting_bytes: Their bytes.
    """

    def __init__(
        self, tier: CacheTier, catalog: Catalog, policy: PolicyConfig, filler: Filler, failures: Failures
    ) -> None:
        self.tier, self.capacity = tier, tier.capacity
        self.policy = policy.provider.name
        self._catalog, self._rows, self._chosen = catalog, catalog.cache, policy
        self._experience: Experience | None = None
        self._failures = failures
        self._rank_with(ranker_for(policy, None))
        self._evicted, self._ages = 0, 0.0
        self._filler = filler
        self._medium: str | None = None
        self.waiting: dict[str, bytes] = {}
        self.waiting_bytes = 0
        self._touched: deque[tuple[str, float]] = deque(maxlen=_TOUCHES)

    def _rank_with(self, ranker: Ranker) -> None:
        self._own = ranker
        self._ranker = careful(ranker, self._chosen, self._failures)
        self._observer = self._ranker if isinstance(self._ranker, Observer) else None

    # -- for readers ------------------------------------------------------------------------------

    def lookup(self, key: str) -> tuple[bytes, bool] | None:
        """`BlockCache.lookup`; a block that waits to be filled is a hit."""
        waiting = self.waiting.get(key)
        if waiting is not None:
            meter = self.tier.meter  # which sees only what its medium is asked for
            meter.hits += 1
            meter.bytes_read += len(waiting)
            return waiting, True
        block = self.tier.get_block(key)
        if block is None:
            return None
        self._touched.append((key, time.time()))
        if len(self._touched) == _TOUCHES // 2:
            self._filler.soon(self.flush)
        return block, self.tier.proved

    def admit(self, key: str, block: bytes) -> None:
        """`BlockCache.admit`: queue it, or let it pass when the queue is full."""
        if len(block) <= self.capacity:
            self._filler.offer(self, key, block)

    def drop(self, key: str) -> bool:
        """`BlockCache.drop`; a block that another process is filling or dropping is left to it."""
        medium = self.claim()
        mine = self._rows.condemn(medium, [key])
        if mine:
            self.tier.evict_block(key)
            self._rows.drop(medium, mine)
        return bool(mine)

    def usage(self) -> tuple[int, int]:
        """`BlockCache.usage`."""
        usage = self._rows.usage(self.claim())
        return usage.used, usage.entries

    # -- accounts ---------------------------------------------------------------------------------

    def claim(self) -> str:
        """Identity of the medium, with this catalog's marker on it and all that it holds accounted.

        Raises:
            ConfigError: Another catalog uses it as its cache.
            TierError: It cannot tell.
        """
        if self._medium is None:
            found = self.tier.identify(claim=False)
            if found is not None:
                self._refuse_shared(found)  # before our marker stands beside that of the one who owns it
            found = self.tier.identify(claim=True)
            if found is None:
                raise TierUnavailable("its medium gave no identity", tier=self.tier.name, op="identify")
            self._refuse_shared(found)
            if not self._rows.known(found.id):
                self._rows.adopt(found.id, self.tier.contents(), time.time())
            self._tidy(found.id)
            state = self._catalog.learned.of(found.id, self._chosen.type.name)
            if state is not None:
                self._rank_with(ranker_for(self._chosen, state))
            self._experience = Experience(self._catalog, found.id, self._chosen, self._own, self._failures)
            self._medium = found.id
            self.fill({})  # what dead processes left, and what no longer fits
        return self._medium

    def _refuse_shared(self, medium: Medium) -> None:
        """Refuse a medium that holds somebody's copies, or that another catalog uses."""
        if any(row.identity == medium.id for row in self._catalog.mediums()):
            raise ConfigError(
                f"tier {self.tier.name!r}: a store tier keeps copies on this medium, and a cache would "
                "evict them; give it another path in [tier.options]"
            )
        if any(catalog != self._catalog.id for catalog in medium.catalogs):
            raise ConfigError(
                f"tier {self.tier.name!r}: another store uses this medium already, and two would break "
                "each other's accounts; give it another path in [tier.options]"
            )

    def _tidy(self, medium: str) -> None:
        """Evict what dead processes left half done, and what a smaller capacity leaves no room for."""
        now = time.time()
        admission = self._rows.begin_admit(medium, (), self.capacity, self._ranker.rank, now, self._observer)
        if admission.victims:
            self._finish(admission, now)

    def _finish(self, admission: Admission, now: float) -> tuple[tuple[str, int], ...]:
        """Evict the victims, and count how long they had been here; gives what fits now."""
        gone = [victim for victim in admission.victims if self._attempt(self.tier.evict_block, victim)]
        granted = self._rows.finish_admit(admission, gone, now, self._observer)
        ages = [admission.ages[key] for key in gone if key in admission.ages]
        self._evicted += len(ages)
        self._ages += sum(ages)
        return granted

    def flush(self) -> None:
        """Tell the catalog which blocks were used."""
        keys = [self._touched.popleft() for _ in range(len(self._touched))]
        if keys:
            self._rows.seen(self.claim(), keys, self._observer)

    def rest(self) -> None:
        """`BlockCache.rest`."""
        self.flush()
        if self._experience is not None:
            self._experience.exchange(now=True)

    @property
    def evicted_ages(self) -> tuple[int, float]:
        """`BlockCache.evicted_ages`."""
        return self._evicted, self._ages

    def expectations(self, keys: Sequence[str]) -> list[Expectation]:
        """`BlockCache.expectations`; the rank is among random rows of the cache."""
        self.flush()
        now = time.time()
        rows, others = self._rows.sample(self.claim(), keys)
        neighbours = [self._ranker.forecast(row, now).value for row in others]
        found = []
        for row in rows:
            each = self._ranker.forecast(row, now)
            rank = sum(1 for value in neighbours if value < each.value)
            found.append(
                Expectation(
                    self.tier.name,
                    self.policy,
                    row.key,
                    each.value,
                    each.next_use,
                    each.unit,
                    rank,
                    len(neighbours),
                )
            )
        return found

    def fill(self, blocks: dict[str, bytes]) -> None:
        """Make room, then put; called by the filler alone.

        Bytes are on the medium only while a row counts them, and a victim's row goes only after its bytes, so
        the capacity holds at every instant whichever process fills.
        """
        medium = self.claim()
        self.flush()
        now = time.time()
        wanted = [(key, len(block)) for key, block in blocks.items()]
        admission = self._rows.begin_admit(
            medium, wanted, self.capacity, self._ranker.rank, now, self._observer
        )
        put, failed = [], []
        refused: dict[ZigguratError, None] = {}
        granted = [(key, blocks[key]) for key, _ in self._finish(admission, now)]
        for (key, _), error in zip(granted, self.tier.put_blocks(granted), strict=True):
            if error is None:
                put.append(key)
                continue
            refused[error] = None
            if self._attempt(self.tier.evict_block, key):
                failed.append(key)
        for error in refused:  # once, where one error is that of all
            self._failures.note(error)
        self._rows.settle(medium, put, failed)
        if self._experience is not None:
            self._experience.exchange()

    def _attempt(self, call: Callable[..., object], *args: object) -> bool:
        try:
            call(*args)
        except ZigguratError as error:
            self._failures.note(error)
            return False
        return True


class Filler:
    """One thread that fills all persistent caches of a store from a bounded queue.

    Args:
        failures: Where failures are noted.

    Attributes:
        dropped: Blocks that were not cached because the queue was full.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._queue: deque[tuple[PersistentCache, str]] = deque()
        self._chores: dict[Callable[[], object], None] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._closing = False
        self._busy = False
        self._pressed = False
        self._drains = 0
        self.dropped = 0

    def offer(self, cache: PersistentCache, key: str, block: bytes) -> None:
        """Queue a block, unless it waits already or the queue is full."""
        with self._lock:
            if self._closing or key in cache.waiting:
                return
            if cache.waiting_bytes + len(block) > _QUEUE_BYTES:
                self.dropped += 1
                return
            cache.waiting[key] = block
            cache.waiting_bytes += len(block)
            self._queue.append((cache, key))
            pressing = cache.waiting_bytes > _PRESSING and not self._pressed
            self._pressed = self._pressed or pressing
            if pressing or len(self._queue) == 1:
                self._start()
                self._changed.notify_all()

    def soon(self, chore: Callable[[], object]) -> None:
        """Run a chore in the thread, once however often it is asked for meanwhile."""
        with self._changed:
            if self._closing or chore in self._chores:
                return
            self._chores[chore] = None
            self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ziggurat-fill", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._chores:
                    if self._closing:
                        return
                    self._changed.wait()
                chores = list(self._chores)
                self._chores.clear()
            for chore in chores:
                try:
                    chore()
                except Exception as error:  # noqa: BLE001 - the thread serves every cache, and must live on
                    self._failures.note(error)
            for count in self._turn():
                self._fill(count)

    def _turn(self) -> Iterator[int]:
        """Wait until readers rest, or for as long as blocks may wait; gives the sizes of the batches then."""
        with self._changed:
            left, latest = _LONGEST, time.monotonic() + _LONGEST
            before = 0
            while len(self._queue) != before and left > 0:
                before = len(self._queue)
                if self._changed.wait_for(self._hurried, min(_QUIET, left)):
                    break
                left = latest - time.monotonic()
            self._pressed = False
            due = len(self._queue)
        for done in range(0, due, _BATCH):
            yield min(_BATCH, due - done)

    def _hurried(self) -> bool:
        return bool(self._closing or self._drains or self._pressed or self._chores)

    def _fill(self, count: int) -> None:
        with self._changed:
            batch = [self._queue.popleft() for _ in range(count)]
            self._busy = True
        by_cache: dict[PersistentCache, dict[str, bytes]] = {}
        for cache, key in batch:
            by_cache.setdefault(cache, {})[key] = cache.waiting[key]
        for cache, blocks in by_cache.items():
            try:
                cache.fill(blocks)
            except Exception as error:  # noqa: BLE001 - the thread serves every cache, and must live on
                self._failures.note(error)
            finally:
                with self._changed:
                    for key, block in blocks.items():
                        del cache.waiting[key]
                        cache.waiting_bytes -= len(block)
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def drain(self) -> None:
        """Return when everything queued so far has been filled or given up."""
        with self._changed:
            self._drains += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not self._queue and not self._busy)
            finally:
                self._drains -= 1

    def close(self) -> None:
        """Fill what is queued, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
