"""Backends that break a sentence on lists, media or their end."""

import uuid

from ziggurat.backend import Medium, hookimpl
from ziggurat.testing import _rules as rules

from .support import CAPABILITIES, Good, breaks


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
    """The test makes it so: its factory writes a folder."""
