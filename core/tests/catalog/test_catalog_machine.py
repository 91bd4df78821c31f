"""The catalog against a model of dictionaries."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ziggurat.backend import Info
from ziggurat.catalog import Catalog, CopyRow, Counts, Freed, RootRow, Usage

KEYS = [f"bafkkey{number}" for number in range(8)]
MEDIA = ["disk-uuid", "peer-id"]
keys = st.sampled_from(KEYS)
media = st.sampled_from(MEDIA)
notes = st.none() | st.binary(max_size=8)
infos = st.builds(
    Info,
    content_type=st.none() | st.just("text/plain"),
    tags=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    metadata=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


class CatalogMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.catalog = Catalog.open(Path(self.folder.name))
        self.copies: dict[tuple[str, str, str | None], CopyRow] = {}
        self.roots: dict[str, RootRow] = {}
        self.pins: set[tuple[str, str]] = set()
        self.edges: set[tuple[str, str]] = set()
        self.info: dict[str, Info] = {}

    def teardown(self):
        self.catalog.close()
        self.folder.cleanup()

    # --- the model

    def below(self, starts):
        seen, todo = set(), list(starts)
        while todo:
            key = todo.pop()
            if key not in seen:
                seen.add(key)
                todo += [child for parent, child in self.edges if parent == key]
        return seen

    def held(self, without=None):
        return self.below((self.roots.keys() - {without}) | {key for key, _ in self.pins})

    def tidy(self, key):
        if key not in self.held() and not any(row[0] == key for row in self.copies):
            self.edges = {edge for edge in self.edges if edge[0] != key}
            self.info.pop(key, None)

    # --- what happens

    @rule(
        root=st.none() | st.tuples(keys, st.integers(0, 99), st.none() | st.just("v1")),
        copies=st.lists(st.tuples(keys, media, st.none() | keys, st.integers(0, 50), notes), max_size=4),
        edges=st.lists(st.tuples(keys, keys), max_size=3),
        info=st.dictionaries(keys, infos, max_size=1),
    )
    def record_put(self, root, copies, edges, info):
        row = None
        if root is not None:
            key, size, encoding = root
            old = self.roots.get(key)
            row = RootRow(key, f"cid-{size}", size, encoding=encoding, created=float(size + 1))
            self.roots[key] = RootRow(
                key,
                f"cid-{size}",
                size,
                encoding=encoding or (old.encoding if old else None),
                created=old.created if old else row.created,
            )
        made = []
        for key, medium, under, stored, note in copies:
            made.append(CopyRow(key, medium, stored, note, note, None, under))
            self.copies[key, medium, under] = made[-1]
        self.edges |= set(edges)
        self.info |= info
        self.catalog.record_put([] if row is None else [row], made, edges=iter(edges), info=info)

    @rule(key=keys, medium=media)
    def forget_copy(self, key, medium):
        had = self.copies.pop((key, medium, None), None)
        carried = [row for row in self.copies if row[1:] == (medium, key)]
        for row in carried:
            del self.copies[row]
        # what is carried is tidied before its root, in the order of the keys
        for left in [*sorted(row[0] for row in carried), *([key] if had else [])]:
            self.tidy(left)
        assert self.catalog.forget_copy(key, medium) is (had is not None)

    @rule(key=keys)
    def remove_root(self, key):
        freed = self.catalog.would_free(key)
        had = self.roots.pop(key, None)
        assert self.catalog.remove_root(key) is (had is not None)
        self.tidy(key)
        # `tidy` may have cut what a root without copies reached: the answer before is the one to compare
        assert freed.blobs >= self.catalog.would_free(key).blobs

    @rule(key=keys, name=st.sampled_from(["", "keep"]))
    def pin(self, key, name):
        self.pins.add((key, name))
        self.catalog.pin(key, name)

    @rule(key=keys, name=st.sampled_from(["", "keep"]))
    def unpin(self, key, name):
        had = (key, name) in self.pins
        self.pins.discard((key, name))
        self.tidy(key)
        assert self.catalog.unpin(key, name) is had

    @rule()
    def reopen(self):
        self.catalog.close()
        self.catalog = Catalog.open(Path(self.folder.name))

    # --- what must hold

    @invariant()
    def accounts_are_exact(self):
        for medium in MEDIA:
            rows = [row for row in self.copies.values() if row.medium == medium]
            own = [row for row in rows if row.under is None]
            assert self.catalog.usage(medium) == Usage(sum(row.stored for row in rows), len(own))
        own = [row for row in self.copies if row[2] is None]
        assert self.catalog.counts() == Counts(len(self.roots), len({key for key, _ in self.pins}), len(own))

    @invariant()
    def rows_are_as_written(self):
        assert list(self.catalog.roots()) == [self.roots[key] for key in sorted(self.roots)]
        assert self.catalog.pins() == sorted(self.pins)
        for key in KEYS:
            assert self.catalog.root(key) == self.roots.get(key)
            assert set(self.catalog.copies(key)) == {row for row in self.copies.values() if row.key == key}
            assert self.catalog.info(key) == self.info.get(key)
            assert self.catalog.pinned(key) is any(pin[0] == key for pin in self.pins)
            assert self.catalog.children(key) == sorted(
                child for parent, child in self.edges if parent == key
            )
            assert self.catalog.parents(key) == sorted(parent for parent, child in self.edges if child == key)

    @invariant()
    def marks_are_right(self):
        held = self.held()
        assert self.catalog.reachable() == held
        for key in KEYS:
            assert self.catalog.protects(key) is (key in held)
        for medium in MEDIA:
            free = {
                row
                for row in self.copies.values()
                if row.medium == medium and row.under is None and row.key not in held
            }
            assert set(self.catalog.unreachable_copies(medium)) == free

    @precondition(lambda self: self.copies)
    @invariant()
    def answers_about_removal_are_right(self):
        for key in KEYS:
            lost = self.below([key]) - self.held(without=key)
            rows = [row for row in self.copies.values() if row.key in lost]
            expected = Freed(len({row.key for row in rows}), sum(row.stored for row in rows))
            assert self.catalog.would_free(key) == expected
        held = self.held()
        for medium in MEDIA:
            for key in KEYS:
                kept = [child for child, *rest in self.copies if rest == [medium, key] and child in held]
                assert self.catalog.carried(key, medium) == sorted(kept)


TestCatalogMachine = CatalogMachine.TestCase
TestCatalogMachine.settings = settings(
    deadline=None,
    max_examples=40,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow],
)
