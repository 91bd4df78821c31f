"""Checks of what outlives a call: `scan`, `identify`, `close`, and a medium that is opened again."""

from __future__ import annotations

from pathlib import Path

from ziggurat.testing import _rules as rules
from ziggurat.testing._kit import Kit
from ziggurat.testing._samples import samples

__all__ = ["LastingChecks"]


class LastingChecks:
    """A medium remembers what it was given, and who it is."""

    def test_scan_lists_every_copy_once(self, kit: Kit) -> None:
        """Exactly what was put and not evicted."""
        tier = kit.open()
        if tier.hooks.scan is None:
            return
        rules.SCAN_ONCE.check(tier.scan() == [], "scan() of a new medium lists something")
        found = list(samples(kit).values())
        if tier.hooks.identify is not None:
            tier.identify(True)
            rules.IDENTITY_APART.check(tier.scan() == [], "scan() lists the medium's marker")
        held: set[str] = set()
        either: set[str] = set()  # `kept` says why they may be listed still
        for sample in found:
            sample.place(tier)
            held.add(str(sample.key))
            if not tier.hooks.read_only and len(held) % 3 == 0:
                sample.place(tier)
        for _ in range(2):
            listed = tier.scan()
            rules.SCAN_EACH.check(len(listed) == len(set(listed)), "scan() lists a key twice")
            missing, extra = held - set(listed), set(listed) - held - either
            rules.SCAN_ENDS.check(not missing, f"scan() ended and left out {sorted(missing)}")
            rules.SCAN_ONCE.check(not extra, f"scan() lists what is not a copy: {sorted(extra)}")
            if not tier.hooks.read_only:
                for sample in found[::2]:
                    held.discard(str(sample.key))
                    if tier.evict(sample.key).kept:
                        either.add(str(sample.key))

    def test_a_medium_has_one_identity(self, kit: Kit) -> None:
        """None until it is claimed, unless it is born with one; then always the same."""
        medium = kit.medium()
        tier = kit.open(medium)
        if tier.hooks.identify is None:
            return
        before = _files(medium)
        first = tier.identify(False)
        rules.IDENTITY_ASKED.check(tier.identify(False) == first, "identify(False) makes an identity")
        if first is None:
            rules.IDENTITY_ASKED.check(_files(medium) == before, "identify(False) wrote to the medium")
        claimed = tier.identify(True)
        if claimed is None:
            rules.IDENTITY_CLAIM.broken("identify(True) is None")
        rules.IDENTITY.check(first is None or first.id == claimed.id, "a claim changed the identity")
        for claim in (False, True):
            rules.IDENTITY.check(tier.identify(claim) == claimed, f"identify({claim}) differs after a claim")
        for sample in samples(kit).values():
            sample.place(tier)
        rules.IDENTITY.check(tier.identify(False) == claimed, "the identity changed with the content")
        if first is None:
            other = kit.open().identify(True)
            rules.IDENTITY.check(other is not None and other.id != claimed.id, "two media have one identity")

    def test_a_second_catalog_leaves_its_own_marker(self, kit: Kit) -> None:
        """The identity stays; the owner is named first."""
        medium = kit.medium()
        tier = kit.open(medium)
        if tier.hooks.identify is None or kit.capabilities.volatile:
            return
        first = tier.identify(True)
        second = kit.open(medium, catalog="catalog-2").identify(True)
        if first is None or second is None:
            rules.IDENTITY_CLAIM.broken("identify(True) is None")
        rules.IDENTITY.check(first.id == second.id, "the identity depends on who asks")
        if first.catalogs:
            rules.CATALOGS.check(first.catalogs == ("catalog-1",), f"after one claim: {first.catalogs}")
            rules.CATALOGS.check(
                second.catalogs == ("catalog-1", "catalog-2"), f"after two: {second.catalogs}"
            )
            seen = kit.open(medium).identify(False)
            rules.CATALOGS.check(seen == second, f"the first catalog sees {seen}")

    def test_what_is_put_is_there_after_opening_again(self, kit: Kit) -> None:
        """Unless the backend is volatile; and another medium holds nothing of it."""
        medium = kit.medium()
        tier = kit.open(medium)
        found = list(samples(kit).values())
        for sample in found:
            sample.place(tier)
        identity = tier.identify(True) if tier.hooks.identify is not None else None
        if not tier.hooks.read_only:
            tier.evict(found[0].key)
        tier.close()
        if not kit.capabilities.volatile:
            again = kit.open(medium)
            for sample in found if again.hooks.read_only else found[1:]:
                with rules.DURABLE.holds(f"{sample.name} after opening the medium again"):
                    sample.expect(again)
            if not again.hooks.read_only and not again.has(found[0].key):
                rules.EVICT_HAS.check(
                    again.stat(found[0].key) is None, "stat() of an evicted copy, opened again"
                )
            if again.hooks.identify is not None:
                rules.IDENTITY.check(again.identify(False) == identity, "another identity when opened again")
        other = kit.open()
        for sample in found:
            rules.HAS.check(not other.has(sample.key), f"{sample.name} is on another medium")

    def test_an_evict_lasts(self, kit: Kit) -> None:
        """What was evicted does not come back when the medium is opened again."""
        medium = kit.medium()
        tier = kit.open(medium)
        if tier.hooks.read_only or kit.capabilities.volatile:
            return
        kept = set()
        for sample in samples(kit).values():
            sample.place(tier)
            if tier.evict(sample.key).kept:
                kept.add(sample.key)
        tier.close()
        again = kit.open(medium)
        for sample in samples(kit).values():
            back = sample.key not in kept and again.has(sample.key)
            rules.EVICT_HAS.check(not back, f"{sample.name} came back after an evict()")

    def test_close_may_be_repeated(self, kit: Kit) -> None:
        """Before the first use, after it, and twice."""
        for use in (False, True):
            tier = kit.open()
            if use:
                next(iter(samples(kit).values())).place(tier)
            tier.close()
            tier.close()


def _files(medium: Path) -> dict[str, bytes]:
    """What stands under a path; empty for a medium without files."""
    found = sorted(medium.rglob("*")) if medium.is_dir() else []
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in found}
