"""Checks of `put`, `put_many`, and what several threads see of them."""

from __future__ import annotations

import threading
from typing import Any

from ziggurat.backend import Info, Stat
from ziggurat.content import RAW, Cid, as_key
from ziggurat.errors import ZigguratError
from ziggurat.testing import _rules as rules
from ziggurat.testing._content import DagSample, SourceError, blob, failing, file, misstated, noise, slow
from ziggurat.testing._kit import Kit, Tier, together
from ziggurat.testing._samples import Sample, brief, samples

__all__ = ["ThreadChecks", "WritingChecks"]


class WritingChecks:
    """A put happens whole or not at all. Backends without `put` have nothing to show here."""

    def test_put_replaces(self, kit: Kit) -> None:
        """Other bytes under the same key; in the dag form the same root again."""
        tier = kit.open()
        if tier.hooks.read_only:
            return
        if kit.dag:
            for sample in samples(kit).values():
                sample.place(tier)
                with rules.PUT_KEPT.holds(f"{sample.name}: a second put() of a root failed"):
                    sample.place(tier)
                    sample.expect(tier)
            return
        key = kit.key(Cid.of(b"replaced", RAW).key)
        for number, size in enumerate((100, 70_000, 0, 5, 200_000, 1)):
            data = noise(size, 50 + number)
            if kit.fits(data):
                with rules.PUT_REPLACES.holds("a put() over another one failed"):
                    tier.put(key, blob(data) if number % 2 else data)
                got, stat = tier.read(key), tier.stat(key)
                rules.PUT_REPLACES.check(got == data, f"after a second put(), get() gave {brief(got)}")
                size_said = stat.size if stat else None
                right = stat is not None and size_said in (None, size)
                rules.PUT_REPLACES.check(right, f"after a second put(), stat() says {stat}")

    def test_content_is_not_verified(self, kit: Kit) -> None:
        """Bytes that are not the CID's are kept as they are: proof belongs to the core."""
        tier = kit.open()
        if kit.dag or tier.hooks.read_only:
            return
        key = kit.key(Cid.of(b"right", RAW).key)
        with rules.UNVERIFIED.holds("bytes that are not the CID's were refused"):
            tier.put(key, b"wrong")
            rules.UNVERIFIED.check(tier.read(key) == b"wrong", "bytes that are not the CID's were changed")

    def test_a_source_that_fails_publishes_nothing(self, kit: Kit) -> None:
        """Its exception passes unchanged, with nothing and with something there before."""
        tier = kit.open()
        if tier.hooks.read_only:
            return
        for sample in _torn(kit):
            for before in (False, True):
                if before and not kit.dag:
                    tier.put(sample.key, b"before")
                for after in (0, 1, 2) if kit.dag else (0, 1, len(sample.data) // 2, len(sample.data)):
                    error = SourceError(f"after {after}")
                    answer = tier.attempt(
                        "put", sample.key, _failing(sample, after, error), None, passing=[SourceError]
                    )
                    said = f"{sample.name}: a source raised SourceError, put() answered {answer!r}"
                    rules.PUT_PASSES.check(answer is error, said)
                    _unchanged(kit, tier, sample, before and not kit.dag, rules.PUT_PASSES)
            sample.place(tier)
            sample.expect(tier)

    def test_content_that_is_not_its_size_publishes_nothing(self, kit: Kit) -> None:
        """A `Blob` that gives fewer or more bytes than it says is refused."""
        tier = kit.open()
        if kit.dag or tier.hooks.read_only:
            return
        for size in (10, 70_000):
            data = noise(size, 60)
            sample = Sample(
                kit, f"a Blob of {size} bytes", kit.key(Cid.of(data, RAW).key), data, piecewise=True
            )
            if not kit.fits(data + b"more"):
                continue
            for before in (False, True):
                if before:
                    tier.put(sample.key, b"before")
                for wrong in (b"", data[:-1], data + b"m"):
                    answer = tier.attempt("put", sample.key, misstated(wrong, size), None)
                    said = f"a Blob of {size} bytes gave {len(wrong)}, put() answered {brief(answer)}"
                    rules.PUT_FAILED.check(isinstance(answer, ZigguratError), said)
                    _unchanged(kit, tier, sample, before, rules.PUT_FAILED)

    def test_a_put_under_way_is_not_seen(self, kit: Kit) -> None:
        """Half of the content was read: a reader finds nothing, or what was there before."""
        tier = kit.open()
        if kit.dag or tier.hooks.read_only:
            return
        data = noise(70_000, 61)
        if not kit.fits(data):
            data = data[: kit.capabilities.max_blob]
        key = kit.key(Cid.of(data, RAW).key)
        for before in (None, noise(300, 62)):
            if before is not None:
                tier.put(key, before)
            halfway, go_on = threading.Event(), threading.Event()
            result: list[Any] = []
            content = slow(data, halfway, go_on)
            thread = threading.Thread(
                target=lambda c=content, r=result: r.append(tier.attempt("put", key, c, None))
            )
            thread.start()
            try:
                rules.PUT_WHOLE.check(halfway.wait(20), "put() did not read its content within 20 s")
                rules.PUT_NO_PART.check(
                    tier.read(key) == before, "get() during a put() gave a part, or nothing"
                )
                seen = tier.has(key)
                rules.PUT_NO_PART.check(seen == (before is not None), f"has() during a put() is {seen}")
            finally:
                go_on.set()
                thread.join(30)
            tier.kept(key, result[0] if result else None)
            rules.PUT_WHOLE.check(tier.read(key) == data, "after a slow put() the content is not there")
            tier.evict(key)

    def test_put_makes_no_room(self, kit: Kit) -> None:
        """What was put stays until it is evicted."""
        tier = kit.open()
        if kit.dag or tier.hooks.read_only:
            return
        held = {kit.key(Cid.of(noise(9, n)).key): noise(1000, n) for n in range(200)}
        for key, data in held.items():
            tier.put(key, data)
        gone = [key for key, data in held.items() if not tier.has(key) or tier.read(key) != data]
        rules.PUT_NO_ROOM.check(not gone, f"{len(gone)} of {len(held)} blobs are gone without an evict()")

    def test_put_many_is_put_for_each(self, kit: Kit) -> None:
        """In order, each on its own."""
        tier = kit.open()
        if tier.hooks.put_many is None:
            return
        rules.MANY_ORDER.check(tier.put_many([]) == [], "put_many([]) is not empty")
        good = list(samples(kit).values())
        bad = _torn(kit)[-1]
        good = [sample for sample in good if sample.key != bad.key]
        middle = len(good) // 2
        items: list[tuple[Any, Any, Info | None]] = [(as_key(s.key), s.content(), None) for s in good]
        items.insert(middle, (as_key(bad.key), _failing(bad, 1, ZigguratError("the source broke")), None))
        answers = tier.put_many(items)
        rules.MANY_ORDER.check(len(answers) == len(items), f"{len(items)} items had {len(answers)} answers")
        failed = answers.pop(middle) if isinstance(answers, list) else None
        said = f"an item whose source broke was answered with {failed!r}"
        rules.MANY_ORDER.check(isinstance(failed, ZigguratError), said)
        rules.MANY_ALONE.check(not tier.has(bad.key), "an item whose source broke was kept")
        for sample, answer in zip(good, answers, strict=True):
            rules.MANY_ALONE.check(isinstance(answer, Stat), f"{sample.name} was answered with {answer!r}")
            tier.kept(sample.key, answer)
            sample.expect(tier)


class ThreadChecks:
    """One backend serves several threads at once."""

    def test_threads_put_read_and_evict(self, kit: Kit) -> None:
        """Each thread its own keys, and all of them one content object and one common key."""
        tier = kit.open()
        if tier.hooks.read_only:
            self._read_together(kit, tier)
            return
        found = list(samples(kit).values())
        common = found[len(found) // 2]
        shared = common.content()

        def work(number: int) -> None:
            rules.PUT_AFRESH.check(
                not isinstance(tier.insist("put", common.key, shared, None), Exception),
                "one content that several threads put at once was not accepted",
            )
            for turn in range(6):
                data = noise(500 + 700 * turn, 1000 + 10 * number + turn)
                dag = file(data) if kit.dag else None
                cid = dag.root if dag is not None else Cid.of(data)
                sample = Sample(
                    kit, f"blob {turn} of thread {number}", kit.key(cid.key), data, dag, turn % 2 == 0
                )
                with rules.THREADS.holds("with eight threads at work"):
                    sample.place(tier)
                    sample.expect(tier)
                    if turn % 3 == 0:
                        gone = tier.evict(sample.key)
                        rules.THREADS.check(gone.had, "evict() of a thread's own copy is False")
                        denied = gone.kept or not tier.has(sample.key)
                        rules.THREADS.check(denied, "has() is True after a thread's own evict()")

        together(8, work)
        common.expect(tier)

    def test_readers_during_a_replacement_see_the_old_or_the_new(self, kit: Kit) -> None:
        """Never a mix of both, never nothing."""
        tier = kit.open()
        if kit.dag or tier.hooks.read_only:
            return
        size = min(40_000, kit.capabilities.max_blob or 40_000)
        versions = [noise(size, 70), noise(size // 2, 71), noise(size, 72)]
        key = kit.key(Cid.of(b"replaced again and again").key)
        tier.put(key, versions[0])
        done = threading.Event()

        def work(number: int) -> None:
            if number == 0:
                try:
                    for turn in range(30):
                        data = versions[turn % 3]
                        tier.put(key, blob(data, 3000) if turn % 2 else data)
                finally:
                    done.set()
                return
            while not done.is_set():
                got = tier.read(key)
                rules.PUT_REPLACES.check(got in versions, f"a reader during a put() saw {brief(got)}")
                rules.PUT_REPLACES.check(tier.has(key), "has() during a replacing put() is False")

        together(4, work)

    def _read_together(self, kit: Kit, tier: Tier) -> None:
        found = list(samples(kit).values())
        for sample in found:
            sample.place(tier)

        def work(_number: int) -> None:
            for sample in found:
                with rules.THREADS.holds("with eight threads reading"):
                    sample.expect(tier)

        together(8, work)


def _torn(kit: Kit) -> list[Sample]:
    """What to put from a source that breaks."""
    if kit.dag:
        dag: DagSample = file(noise(4000, 80))
        return [Sample(kit, "a file of several levels", kit.key(dag.root.key), dag=dag)]
    found = []
    for size in (10, 70_000, 1_100_000):
        data = noise(size, 80)
        if kit.fits(data):
            found.append(
                Sample(kit, f"a Blob of {size} bytes", kit.key(Cid.of(data).key), data, piecewise=True)
            )
    return found


def _failing(sample: Sample, after: int, error: Exception) -> Any:
    if sample.dag is not None:
        return sample.dag.failing(after, error)
    return failing(sample.data, after, error)


def _unchanged(kit: Kit, tier: Tier, sample: Sample, before: bool, rule: rules.Rule) -> None:
    held = tier.has(sample.key)
    rule.check(held == before, f"{sample.name}: after a failed put(), has() is {held}")
    if kit.dag:
        return
    got = tier.read(sample.key)
    rule.check(
        got == (b"before" if before else None),
        f"{sample.name}: after a failed put(), get() gave {brief(got)}",
    )
    stat = tier.stat(sample.key)
    rule.check((stat is not None) == before, f"{sample.name}: after a failed put(), stat() is {stat}")
