"""Checks of what a backend answers: `get`, `has`, `stat`, `evict` and the optional hooks."""

from __future__ import annotations

from collections.abc import Sequence

from ziggurat.backend import ByteRange, Info
from ziggurat.content import DAG_PB, RAW, Blob, Cid, Dag
from ziggurat.errors import TierError
from ziggurat.testing import _rules as rules
from ziggurat.testing._content import directory, file, noise, raw
from ziggurat.testing._kit import Kit, Tier
from ziggurat.testing._samples import brief, expect_blocks, kinds, samples

__all__ = ["DagChecks", "ReadingChecks"]


class ReadingChecks:
    """What is held is given back, what is not held is denied, and the two are never mixed up."""

    def test_making_a_backend_touches_nothing(self, kit: Kit) -> None:
        """The factory and `bind` leave the medium alone."""
        tier = kit.open()
        rules.LAZY.check(not tier.medium.exists(), "the factory created the medium before the first call")

    def test_what_is_not_held_is_denied(self, kit: Kit) -> None:
        """None, False, None and False for every kind of key, before and after something else is put."""
        tier = kit.open()
        absent = kinds(kit, b"absent").values()
        for _ in range(2):
            for key in absent:
                rules.GET_NONE.check(tier.get(key) is None, f"get({key}) gave something that was never put")
                rules.HAS.check(not tier.has(key), f"has({key}) is True for what was never put")
                rules.STAT_NONE.check(tier.stat(key) is None, f"stat({key}) describes what was never put")
                if not tier.hooks.read_only:
                    rules.EVICT_ABSENT.check(not tier.evict(key).had, f"evict({key}) of nothing is True")
            next(iter(samples(kit).values())).place(tier)

    def test_what_is_put_is_given_back(self, kit: Kit) -> None:
        """Every sample, in every kind of content, whole, with its size."""
        tier = kit.open()
        found = samples(kit)
        for sample in found.values():
            sample.place(tier)
            sample.expect(tier)
        for sample in found.values():
            sample.expect(tier)
        tier.forget_notes()
        for sample in found.values():
            with rules.GET_NOTE.holds(f"{sample.name} cannot be read without its note"):
                sample.expect(tier)

    def test_a_range_is_exactly_that_range(self, kit: Kit) -> None:
        """Ranges at every edge; a backend without them, and the dag form, are asked for the whole."""
        tier = kit.open()
        for sample in samples(kit).values():
            sample.place(tier)
            if kit.dag or not kit.capabilities.ranges:
                sample.expect(tier)
                continue
            for asked in _ranges(len(sample.data)):
                got, wanted = tier.read(sample.key, asked), sample.data[asked.offset : asked.stop]
                rules.GET_BYTES.check(
                    got == wanted, f"{sample.name}: {asked} gave {brief(got)}, not {brief(wanted)}"
                )

    def test_an_open_answer_survives_an_evict(self, kit: Kit) -> None:
        """What `get` returned can be read after the copy is gone, and closed unread, and closed twice."""
        tier = kit.open()
        if tier.hooks.read_only:
            return
        for sample in samples(kit).values():
            sample.place(tier)
            before = sample.compare(tier.get(sample.key), tier)
            first, unread = tier.get(sample.key), tier.get(sample.key)
            tier.evict(sample.key)
            with rules.GET_OPEN.holds(f"{sample.name}: what get() returned broke after an evict"):
                rules.GET_OPEN.check(sample.compare(first) == before, "some blocks are missing")
                if isinstance(unread, Blob | Dag):
                    unread.close()
                    unread.close()

    def test_evict_gives_up_the_claim_once(self, kit: Kit) -> None:
        """True, then False; `has` follows unless `kept` says why; and a new put is a new copy."""
        tier = kit.open()
        if tier.hooks.read_only:
            return
        for sample in samples(kit).values():
            for _ in range(2):
                sample.place(tier)
                rules.HAS.check(tier.has(sample.key), f"{sample.name}: has() is False after put()")
                gone = tier.evict(sample.key)
                rules.EVICT_ANSWER.check(gone.had, f"{sample.name}: evict() of a copy is False")
                denied = gone.kept or not tier.has(sample.key)
                rules.EVICT_HAS.check(denied, f"{sample.name}: has() is still True, and evict() kept nothing")
                if not gone.kept:
                    rules.STAT_NONE.check(
                        tier.stat(sample.key) is None, f"{sample.name}: stat() after evict()"
                    )
                    again = tier.evict(sample.key).had
                    rules.EVICT_ABSENT.check(not again, f"{sample.name}: a second evict() is True")
                if (answer := tier.get(sample.key)) is not None:
                    sample.compare(answer)

    def test_evict_leaves_the_others_alone(self, kit: Kit) -> None:
        """Nothing that another claim shares is deleted: neither blobs nor, in the dag form, blocks."""
        tier = kit.open()
        if tier.hooks.read_only:
            return
        found = list(samples(kit).values())
        for sample in found:
            sample.place(tier)
        while found:
            tier.evict(found.pop(0).key)
            for sample in found:
                rules.EVICT_SHARED.check(tier.has(sample.key), f"{sample.name} went with another copy")
                with rules.EVICT_SHARED.holds(f"{sample.name} lost something with another copy"):
                    sample.expect(tier)

    def test_the_kinds_of_key_do_not_collide(self, kit: Kit) -> None:
        """The plain key, the nodes and the block of one CID are three things."""
        tier = kit.open()
        if kit.dag:
            whole = file(noise(2000, 30))
            kit.place(tier, kit.key(whole.root.key), whole)
            expect_blocks(kit, None, whole, tier)
            return
        keys = kinds(kit, b"one name")
        for number, key in enumerate(keys.values()):
            kit.place(tier, key, noise(40 + number, number))
        for number, (kind, key) in enumerate(keys.items()):
            got = tier.read(key)
            rules.KINDS.check(got == noise(40 + number, number), f"the {kind} key gave {brief(got)}")
        if not tier.hooks.read_only:
            first, *others = keys.values()
            tier.evict(first)
            for key in others:
                rules.KINDS.check(tier.has(key), f"evict({first}) took {key} with it")

    def test_both_versions_of_a_cid_are_one_key(self, kit: Kit) -> None:
        """What is put under the key of a CIDv0 is held under that of its CIDv1."""
        tier = kit.open()
        sample = file(noise(100, 31), wrapped=True)
        block = sample.blocks[sample.root]
        old, new = Cid.of(block, DAG_PB, version=0), Cid.of(block, DAG_PB)
        kit.place(tier, kit.key(old.key), sample if kit.dag else noise(100, 31))
        rules.ONE_KEY.check(tier.has(kit.key(new.key)), f"{old} was put, and {new} is not held")

    def test_keys_may_be_plain_text_on_a_cache(self, kit: Kit) -> None:
        """A `Key` and the equal `str` are one key."""
        if kit.role != "cache":
            return
        tier = kit.open()
        cid = Cid.of(b"text", RAW)
        for put, asked in ((cid.key, str(cid.key)), (str(cid.key), cid.key)):
            tier.put(put, b"text", rule=rules.TEXT)
            rules.TEXT.check(
                tier.read(asked) == b"text" and tier.has(asked), f"{type(asked).__name__} differs"
            )
            rules.TEXT.check(tier.evict(asked).had and not tier.has(put), f"evict by {type(asked).__name__}")

    def test_what_was_said_about_a_blob_is_kept_or_not_claimed(self, kit: Kit) -> None:
        """`stat` gives `info` back as it was put, or says nothing of it."""
        tier = kit.open()
        if tier.hooks.read_only:
            return
        info = Info("text/plain; charset=utf-8", {"kind": "test"}, {"title": "Zikkurat \u00e4\u00f6\u00fc"})
        sample = next(iter(samples(kit).values()))
        tier.put(sample.key, sample.content(), info)
        stat = tier.stat(sample.key)
        same = stat is not None and (stat.info is None or stat.info == info)
        rules.STAT_SIZE.check(same, f"stat().info is {stat.info if stat else stat}, not what was put")

    def test_a_medium_that_fails_is_not_an_empty_one(self, kit: Kit) -> None:
        """No hook denies what it was given before the medium broke (``Subject.break_medium``)."""
        if kit.subject.break_medium is None:
            return
        tier = kit.open()
        sample = next(iter(samples(kit).values()))
        sample.place(tier)
        if tier.hooks.identify is not None:
            tier.identify(True)
        kit.subject.break_medium(tier.medium)
        calls: dict[str, tuple[object, ...]] = {
            "get": (sample.key, None, None),
            "has": (sample.key,),
            "stat": (sample.key,),
        }
        if not tier.hooks.read_only:
            calls["evict"] = (sample.key, None)
        for op, arguments in calls.items():
            answer = tier.attempt(op, *arguments)
            said = f"{op}() answered {brief(answer)} on a broken medium"
            if isinstance(answer, Exception):
                rules.ERRORS.check(isinstance(answer, TierError), said)
            rules.ABSENT.check(answer is not None and answer is not False, said)
        if tier.hooks.scan is not None:
            listed = _scan(tier)
            full = isinstance(listed, TierError) or sample.key in listed
            rules.SCAN_ENDS.check(full, f"scan() of a broken medium ended normally with {listed}")


class DagChecks:
    """What only the dag form has: blocks, and roots apart from what they reach. Other forms pass untested."""

    def test_every_block_can_be_asked_for(self, kit: Kit) -> None:
        """A dag-pb block by its ``.block`` key, any other by its plain key, while its root is kept."""
        if not kit.dag:
            return
        tier = kit.open()
        for sample in samples(kit).values():
            sample.place(tier)
        for sample in samples(kit).values():
            if sample.dag is not None:
                expect_blocks(kit, None, sample.dag, tier)
        for missing in (Cid.of(b"missing", DAG_PB), Cid.of(b"missing", RAW)):
            got = tier.get(kit.key(missing.block_key))
            rules.GET_NONE.check(got is None, f"get({missing.block_key}) gave what was never put")

    def test_only_a_root_is_a_copy(self, kit: Kit) -> None:
        """The children of a directory can be read; `has` is about what was put."""
        if not kit.dag:
            return
        tier = kit.open()
        child, lone = file(noise(900, 40)), raw(noise(200, 41))
        tree = directory(child=child, lone=lone)
        kit.place(tier, kit.key(tree.root.key), tree)
        answer = tier.get(kit.key(child.root.key))
        if not isinstance(answer, Dag):
            rules.WHOLE_DAG.broken("a child of a directory cannot be read by its own key")
        expect_blocks(kit, answer, child, tier)
        for part in (child, lone):
            if not tier.hooks.read_only:
                rules.HAS.check(not tier.has(kit.key(part.root.key)), "has() of a child that was never put")


def _scan(tier: Tier) -> Sequence[str] | TierError:
    answer = tier.attempt("scan")
    try:
        return answer if isinstance(answer, TierError) else list(answer)
    except TierError as error:
        return error


def _ranges(size: int) -> list[ByteRange]:
    """Ranges at the edges of a blob, and of the pieces that media like."""
    edges = sorted({0, 1, size // 2, 999, 1000, 4095, 4096, 65535, 65536, size - 1, size})
    edges = [edge for edge in edges if 0 <= edge <= size]
    return [ByteRange(start, stop - start) for start in edges for stop in edges if stop > start]
