"""Backends that break a sentence on reading, telling or evicting."""

import ziggurat.backend
from ziggurat.backend import Blob, ByteRange, Stat, as_key, hookimpl
from ziggurat.errors import TierError, TierUnavailable
from ziggurat.testing import _rules as rules

from .support import Good, Shelf, breaks


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


def _raise(error):
    raise error
