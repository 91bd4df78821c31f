"""For each sentence that the kit checks, a backend that breaks it: the kit must notice, and say which."""

import inspect
import time
import uuid
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve

import ziggurat.backend
from ziggurat.backend import Blob, ByteRange, Capabilities, Evicted, Medium, Stat, as_key, hookimpl
from ziggurat.errors import TierError, TierUnavailable
from ziggurat.plugin import hookspecs
from ziggurat.testing import BackendConformance, Rule, _rules
from ziggurat.testing import _rules as rules

from .support import CAPABILITIES, Good, Shelf, first_to_name, subject

BROKEN: list[Any] = []


def breaks(rule, **more):
    def mark(kind):
        BROKEN.append(pytest.param(rule, kind, more, id=kind.__name__))
        return kind

    return mark


@breaks(rules.FAULT)
class RaisesKeyError(Good):
    @hookimpl
    def get(self, key):
        return self.shelf.held[str(key)]


@breaks(rules.GET_NONE)
class GivesEmptyForAbsent(Good):
    @hookimpl
    def get(self, key, byte_range):
        return super().get(key, byte_range, None) or b""


@breaks(rules.GET_NONE)
class FailsForAbsent(Good):
    @hookimpl
    def get(self, key, byte_range):
        if str(key) not in self.shelf.held:
            raise TierUnavailable("no such key", retryable=True)
        return super().get(key, byte_range, None)


@breaks(rules.GET_BYTES)
class GivesAnotherType(Good):
    @hookimpl
    def get(self, key):
        data = self.shelf.held.get(str(key))
        return None if data is None else bytearray(data)


@breaks(rules.GET_BYTES)
class IgnoresRanges(Good):
    @hookimpl
    def get(self, key):
        return super().get(key, None, None)


@breaks(rules.GET_BYTES)
class CountsAsHttp(Good):
    @hookimpl
    def get(self, key, byte_range):
        if byte_range is not None:
            byte_range = ByteRange(byte_range.offset, max(1, byte_range.length - 1))
        return super().get(key, byte_range, None)


@breaks(rules.GET_BYTES)
class MisstatesASize(Good):
    @hookimpl
    def get(self, key, byte_range):
        answer = super().get(key, byte_range, None)
        return Blob(answer.size + 1, answer.chunks) if isinstance(answer, Blob) else answer


@breaks(rules.GET_OPEN)
class OpensLate(Good):
    @hookimpl
    def get(self, key, byte_range):
        data = self.shelf.held.get(str(key))
        if data is None:
            return None
        part = slice(byte_range.offset, byte_range.stop) if byte_range else slice(None)
        return Blob(len(data[part]), lambda: [self.shelf.held[str(key)][part]])


@breaks(rules.GET_NOTE)
class NeedsItsNote(Good):
    @hookimpl
    def get(self, key, byte_range, note):
        if str(key) in self.shelf.held and note is None:
            raise TierUnavailable("no note", retryable=False)
        return super().get(key, byte_range, note)


@breaks(rules.HAS_BOOL)
class SaysOne(Good):
    @hookimpl
    def has(self, key):
        return int(super().has(key))


@breaks(rules.HAS)
class HasEverything(Good):
    @hookimpl
    def has(self, key):
        return True


@breaks(rules.HAS)
class HasNothing(Good):
    @hookimpl
    def has(self, key):
        return False


@breaks(rules.HAS)
class OneMediumForAll(Good):
    common = Shelf()

    def __init__(self, options, context):
        super().__init__(options, context)
        self.shelf = self.common


@breaks(rules.STAT_SIZE)
class CountsItsOverhead(Good):
    @hookimpl
    def stat(self, key):
        found = super().stat(key)
        return found and Stat(size=found.size + 10)


@breaks(rules.STAT_SIZE)
class DescribesInItsOwnWords(Good):
    @hookimpl
    def stat(self, key):
        found = super().stat(key)
        return found and {"size": found.size}


@breaks(rules.STAT_SIZE)
class LosesHalfOfTheInfo(Good):
    @hookimpl
    def put(self, key, content, info):
        return super().put(key, content, info and ziggurat.backend.Info(info.content_type))


@breaks(rules.STAT_NONE)
class DescribesAbsent(Good):
    @hookimpl
    def stat(self, key):
        return super().stat(key) or Stat()


@breaks(rules.EVICT_ABSENT)
class EvictsNothingProudly(Good):
    @hookimpl
    def evict(self, key):
        super().evict(key, None)
        return True


@breaks(rules.EVICT_ABSENT)
class FailsToEvictNothing(Good):
    @hookimpl
    def evict(self, key):
        return self.shelf.held.pop(str(key), None) is not None or _raise(TierError("nothing there"))


@breaks(rules.EVICT_ANSWER)
class EvictsInSilence(Good):
    @hookimpl
    def evict(self, key):
        super().evict(key, None)


@breaks(rules.EVICT_HAS)
class EvictsNothingAtAll(Good):
    @hookimpl
    def evict(self, key):
        return str(key) in self.shelf.held


@breaks(rules.EVICT_HAS)
class ComesBack(Good):
    """Evicted copies are there again when the medium is opened again."""

    def __init__(self, options, context):
        super().__init__(options, context)
        trash = getattr(ComesBack, "trash", {})
        self.shelf.held.update(trash.pop(id(self.shelf), {}))
        ComesBack.trash = trash

    @hookimpl
    def evict(self, key):
        data = self.shelf.held.get(str(key))
        if data is not None:
            ComesBack.trash.setdefault(id(self.shelf), {})[str(key)] = data
        return super().evict(key, None)


@breaks(rules.EVICT_SHARED)
class EvictsItsNeighbours(Good):
    @hookimpl
    def evict(self, key):
        had = super().evict(key, None)
        if had and self.shelf.held:
            self.shelf.held.popitem()
        return had


@breaks(rules.KINDS)
class ForgetsTheKind(Good):
    def up(self):
        class ByName(dict):
            def __init__(self, held):
                self.held = held

            def get(self, key, default=None):
                return self.held.get(key.partition(".")[0], default)

            def pop(self, key, default=None):
                return self.held.pop(key.partition(".")[0], default)

            def __contains__(self, key):
                return key.partition(".")[0] in self.held

            def __setitem__(self, key, value):
                self.held[key.partition(".")[0]] = value

        return ByName(super().up())


@breaks(rules.ONE_KEY)
class FilesUnderTheCidAsWritten(Good):
    @hookimpl
    def put(self, key, content, info):
        stat = super().put(key, content, info)
        if as_key(key).cid.version == 0:
            self.shelf.held[str(as_key(key).cid)] = self.shelf.held.pop(str(key))
        return stat


@breaks(rules.TEXT, role="cache")
class NeedsAKeyToPut(Good):
    @hookimpl
    def put(self, key, content, info):
        if type(key) is str and len(key) == 59 and key == str(ziggurat.backend.Cid.of(b"text").key):
            return key.cid
        return super().put(key, content, info)


@breaks(rules.PUT_REPLACES)
class KeepsTheFirst(Good):
    @hookimpl
    def put(self, key, content, info):
        data = content if isinstance(content, bytes) else content.read()
        self.shelf.held.setdefault(str(key), data)
        return Stat(size=len(data))


@breaks(rules.PUT_REPLACES)
class DeletesBeforeItWrites(Good):
    @hookimpl
    def put(self, key, content, info):
        data = content if isinstance(content, bytes) else content.read()
        self.shelf.held.pop(str(key), None)
        time.sleep(0.001)
        return super().put(key, data, info)


@breaks(rules.PUT_BOTH)
class TakesBytesOnly(Good):
    @hookimpl
    def put(self, key, content, info):
        return super().put(key, b"".join([content]), info)


@breaks(rules.PUT_BOTH)
class TakesBlobsOnly(Good):
    @hookimpl
    def put(self, key, content, info):
        return super().put(key, content.read(), info)


@breaks(rules.GET_BYTES)
class KeepsViewsOfPieces(Good):
    """A piece may be a view into a buffer that is filled again for the next one."""

    @hookimpl
    def put(self, key, content, info):
        if isinstance(content, bytes):
            return super().put(key, content, info)
        pieces = list(content.chunks())
        if sum(map(len, pieces)) != content.size:
            content.read()
        return super().put(key, b"".join(pieces), info)


@breaks(rules.PUT_NO_PART)
class WritesInPlace(Good):
    @hookimpl
    def put(self, key, content, info):
        if isinstance(content, bytes):
            return super().put(key, content, info)
        data = b""
        for piece in content.chunks():
            data += piece
            self.shelf.held[str(key)] = data
        return super().put(key, content, info)


@breaks(rules.PUT_PASSES)
class PublishesBeforeItFails(Good):
    @hookimpl
    def put(self, key, content, info):
        try:
            return super().put(key, content, info)
        except Exception:
            self.shelf.held.setdefault(str(key), b"")
            raise


@breaks(rules.PUT_PASSES)
class BlamesItself(Good):
    @hookimpl
    def put(self, key, content, info):
        try:
            return super().put(key, content, info)
        except Exception as error:
            raise TierUnavailable("write failed", retryable=True) from error


@breaks(rules.PUT_PASSES)
class SwallowsFailures(Good):
    @hookimpl
    def put(self, key, content, info):
        with suppress(Exception):
            return super().put(key, content, info)
        return Stat(size=getattr(content, "size", None))


@breaks(rules.PUT_FAILED)
class TakesAnyLength(Good):
    @hookimpl
    def put(self, key, content, info):
        data = content if isinstance(content, bytes) else b"".join(bytes(piece) for piece in content.chunks())
        return super().put(key, data, info)


@breaks(rules.PUT_FAILED)
class CutsAtTheSize(Good):
    @hookimpl
    def put(self, key, content, info):
        if isinstance(content, Blob):
            data = b"".join(bytes(piece) for piece in content.chunks())
            if len(data) > content.size:
                content = data[: content.size]
        return super().put(key, content, info)


@breaks(rules.PUT_NO_ROOM)
class MakesRoom(Good):
    @hookimpl
    def put(self, key, content, info):
        stat = super().put(key, content, info)
        while len(self.shelf.held) > 100:
            self.shelf.held.pop(next(iter(self.shelf.held)))
        return stat


@breaks(rules.PUT_STAT)
class PutsInSilence(Good):
    @hookimpl
    def put(self, key, content, info):
        super().put(key, content, info)


@breaks(rules.NOTE)
class WritesANovel(Good):
    @hookimpl
    def put(self, key, content, info):
        return Stat(note=super().put(key, content, info).note + bytes(1024))


@breaks(rules.NOTE)
class WritesText(Good):
    @hookimpl
    def put(self, key, content, info):
        super().put(key, content, info)
        return Stat(note="a note")


@breaks(rules.UNVERIFIED)
class Verifies(Good):
    @hookimpl
    def put(self, key, content, info):
        data = content if isinstance(content, bytes) else content.read()
        if data == b"wrong":
            raise TierError("checksum mismatch")
        return super().put(key, data, info)


@breaks(rules.ERRORS)
class RaisesWhatCannotBePickled(Good):
    @hookimpl
    def put(self, key, content, info):
        if isinstance(content, Blob) and content.size == 10:
            raise type("Local", (TierError,), {})("out of order")
        return super().put(key, content, info)


@breaks(rules.ERRORS)
class RaisesWithoutAWord(Good):
    @hookimpl
    def put(self, key, content, info):
        if isinstance(content, Blob) and content.size == 10:
            raise TierError
        return super().put(key, content, info)


@breaks(rules.ABSENT)
class CannotTellAndDenies(Good):
    @hookimpl
    def get(self, key, byte_range):
        return None if self.shelf.down else super().get(key, byte_range, None)


@breaks(rules.ABSENT)
class CannotTellAndSaysNo(Good):
    @hookimpl
    def has(self, key):
        return False if self.shelf.down else super().has(key)


@breaks(rules.THREADS)
class RemembersOneKeyAtATime(Good):
    @hookimpl
    def put(self, key, content, info):
        self.current = key
        data = content if isinstance(content, bytes) else content.read()
        time.sleep(0.0005)
        return super().put(self.current, data, info)


@breaks(rules.MANY_ORDER)
class AnswersBackwards(Good):
    @hookimpl
    def put_many(self, items):
        return super().put_many(items)[::-1]


@breaks(rules.MANY_ORDER)
class StopsAtTheFirstFailure(Good):
    @hookimpl
    def put_many(self, items):
        return [self.put(*item) for item in items]


@breaks(rules.MANY_ORDER)
class ReportsFailuresOnly(Good):
    @hookimpl
    def put_many(self, items):
        return [answer for answer in super().put_many(items) if isinstance(answer, Exception)]


@breaks(rules.MANY_ALONE)
class KeepsWhatFailed(Good):
    @hookimpl
    def put_many(self, items):
        answers = super().put_many(items)
        for (key, _, _), answer in zip(items, answers, strict=True):
            if isinstance(answer, Exception):
                self.shelf.held[str(key)] = b""
        return answers


@breaks(rules.MANY_ALONE)
class GivesUpAfterAFailure(Good):
    @hookimpl
    def put_many(self, items):
        answers = []
        for item in items:
            if any(isinstance(answer, Exception) for answer in answers):
                answers.append(TierUnavailable("an earlier item failed", retryable=True))
            else:
                answers += super().put_many([item])
        return answers


@breaks(rules.SCAN_EACH)
class ListsTwice(Good):
    @hookimpl
    def scan(self):
        return iter([*self.shelf.held, *self.shelf.held])


@breaks(rules.SCAN_ENDS)
class ListsOnePage(Good):
    @hookimpl
    def scan(self):
        return iter(list(self.shelf.held)[:5])


@breaks(rules.SCAN_ENDS)
class ListsNothingWhenItFails(Good):
    @hookimpl
    def scan(self):
        return iter(() if self.shelf.down else self.shelf.held)


@breaks(rules.SCAN_ONCE)
class ListsWhatIsGone(Good):
    @hookimpl
    def scan(self):
        return iter(list(self.shelf.notes))


@breaks(rules.IDENTITY_APART)
class ListsItsMarker(Good):
    @hookimpl
    def scan(self):
        return iter([*self.shelf.held, *self.shelf.markers])


@breaks(rules.IDENTITY)
class ForgetsWhoItIs(Good):
    @hookimpl
    def identify(self, claim):
        return str(uuid.uuid4()) if self.shelf.name or claim else super().identify(claim)


@breaks(rules.IDENTITY)
class IsTheTier(Good):
    @hookimpl
    def identify(self, claim):
        found = super().identify(claim)
        return found and Medium("kit", found.catalogs)


@breaks(rules.IDENTITY_ASKED)
class ClaimsUnasked(Good):
    @hookimpl
    def identify(self):
        return super().identify(bool(self.shelf.held or getattr(self, "asked", False)) or self.ask())

    def ask(self):
        self.asked = True


@breaks(rules.IDENTITY_CLAIM)
class ClaimsNothing(Good):
    @hookimpl
    def identify(self, claim):
        return None


@breaks(rules.CATALOGS)
class NamesTheLastFirst(Good):
    @hookimpl
    def identify(self, claim):
        found = super().identify(claim)
        return found and Medium(found.id, found.catalogs[::-1])


@breaks(rules.CLOSE)
class ClosesOnce(Good):
    @hookimpl
    def close(self):
        del self.catalog


@breaks(rules.DURABLE)
class ForgetsOnClose(Good):
    @hookimpl
    def close(self):
        self.shelf.held.clear()


@breaks(rules.LAZY, capabilities=CAPABILITIES)
class TouchesTheMedium(Good):
    """Made below: its factory writes a folder."""


@pytest.mark.parametrize(("rule", "kind", "more"), BROKEN)
def test_a_broken_backend_is_caught_and_the_sentence_is_named(rule, kind, more, tmp_path):
    broken = subject(kind, **more)
    if kind is TouchesTheMedium:
        options = broken.options
        broken = evolve(broken, options=lambda path: path.mkdir() or options(path))
    messages = first_to_name(rule, broken, tmp_path)
    assert rule.sentence in messages[-1]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"role": "cache"},
        {"capabilities": Capabilities(ranges=False, local=True, durable=True)},
        {"capabilities": Capabilities(volatile=True)},
        {"capabilities": Capabilities(max_blob=4096, durable=True)},
        {"break_medium": None},
    ],
    ids=str,
)
def test_the_backend_that_they_break_is_right(more, tmp_path):
    assert list(BackendConformance.failures(subject(Good, **more), tmp_path)) == []


class ReadOnly:
    """A gateway: what is there was put by others."""

    def __init__(self, options, context):
        self.good = Good(options, context)

    @hookimpl
    def get(self, key, byte_range):
        return self.good.get(key, byte_range, None)

    @hookimpl
    def has(self, key):
        return self.good.has(key)

    @hookimpl
    def stat(self, key):
        return self.good.stat(key)


def test_a_read_only_backend_is_tested_as_a_source(tmp_path):
    right = subject(ReadOnly)
    assert list(BackendConformance.failures(right, tmp_path)) == []
    assert ziggurat.testing.Kit(right, tmp_path).role == "source"


def test_a_read_only_backend_that_gives_something_else_is_caught(tmp_path):
    class Shifts(ReadOnly):
        @hookimpl
        def get(self, key, byte_range):
            answer = super().get(key, None)
            data = answer.read() if isinstance(answer, Blob) else answer
            return data and data[byte_range.offset + 1 : byte_range.stop + 1] if byte_range else data

    first_to_name(rules.GET_BYTES, subject(Shifts), tmp_path)


def test_a_read_only_backend_without_a_seed_is_told_what_it_needs(tmp_path):
    failed = dict(BackendConformance.failures(subject(ReadOnly, seed=None), tmp_path))
    assert any("Subject(seed=...)" in str(error) for error in failed.values())


def test_what_a_medium_goes_on_holding_is_no_fault(tmp_path):
    class Keeps(Good):
        @hookimpl
        def evict(self, key):
            return Evicted(str(key) in self.shelf.held, "somebody else pinned it")

    failed = dict(BackendConformance.failures(subject(Keeps), tmp_path))
    assert not {name for name in failed if "evict" in name}


def test_the_state_machine_finds_a_sequence_that_no_check_thought_of(tmp_path):
    class Sneaky(Good):
        """Forgets a key that is put, evicted, and put again after a scan."""

        @hookimpl
        def scan(self):
            self.seen = {"scanned"}
            return super().scan()

        @hookimpl
        def evict(self, key):
            if hasattr(self, "seen"):
                self.seen.add(str(key))
            return super().evict(key, None)

        @hookimpl
        def put(self, key, content, info):
            stat = super().put(key, content, info)
            if str(key) in getattr(self, "seen", ()):
                del self.shelf.held[str(key)]
            return stat

    failed = dict(BackendConformance.failures(subject(Sneaky, examples=300), tmp_path))
    assert "test_any_sequence_of_calls_agrees_with_a_dictionary" in failed


RULES = {name: rule for name, rule in vars(_rules).items() if isinstance(rule, Rule)}


@pytest.mark.parametrize("name", RULES)
def test_every_sentence_stands_in_the_contract(name):
    rule = RULES[name]
    text = " ".join((inspect.getsource(hookspecs) + inspect.getsource(ziggurat.backend)).split())
    sentence = " ".join(rule.sentence.split())
    if rule.place in ("get", "put", "has", "stat", "evict", "put_many", "scan", "identify", "close"):
        text = " ".join(inspect.getdoc(getattr(hookspecs.BackendSpec, rule.place)).split())
    elif rule.place not in ("rules", "keys"):
        text = " ".join(inspect.getdoc(getattr(ziggurat.backend, rule.place)).split())
    else:
        # The table of keys is set in columns: its words are looked for within one column.
        text += " " + " ".join(_columns(inspect.getdoc(hookspecs)))
    assert sentence in text


def _columns(doc):
    lines = doc.splitlines()
    rulers = [number for number, line in enumerate(lines) if line.startswith("====")]
    starts = [
        i for i, mark in enumerate(lines[rulers[0]]) if mark == "=" and lines[rulers[0]][i - 1 : i] != "="
    ]
    for start, stop in zip(starts, [*starts[1:], None], strict=True):
        yield " ".join(" ".join(line[start:stop] for line in lines[rulers[1] + 1 : rulers[2]]).split())


def _raise(error):
    raise error
