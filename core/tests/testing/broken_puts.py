"""Backends that break a sentence on putting, or on how they fail."""

import time
from contextlib import suppress

import ziggurat.backend
from ziggurat.backend import Blob, Stat, hookimpl
from ziggurat.errors import TierError, TierUnavailable
from ziggurat.testing import _rules as rules

from .support import Good, breaks


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
