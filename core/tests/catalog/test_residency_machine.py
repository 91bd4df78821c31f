"""Owners of one cache, their steps interleaved at will, some of them dying between any two."""

from __future__ import annotations

import tempfile
from pathlib import Path

import apsw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ziggurat.catalog import Catalog
from ziggurat.catalog.schema import SLOT_BITS
from ziggurat.policy import LruRanker

MEDIUM = "ssd"
CAPACITY = 100
owners = st.integers(0, 2)
sizes = {f"k{number}": size for number, size in enumerate([1, 7, 20, 33, 50, 64, 99, 100, 101])}
keys = st.sampled_from(sorted(sizes))
some = st.lists(keys, max_size=5, unique=True)


class ResidencyMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.catalogs = [Catalog.open(self.path) for _ in range(3)]
        self.catalogs[0].cache.adopt(MEDIUM, [], 0.0)
        self.clock = 1000.0
        self.bytes: dict[str, int] = {}
        self.admissions: list[tuple[int, object]] = []
        self.grants: list[tuple[int, str, int]] = []
        self.doomed: list[tuple[int, str]] = []

    def teardown(self):
        for catalog in self.catalogs:
            catalog.close()
        self.folder.cleanup()

    def cache(self, who):
        return self.catalogs[who].cache

    @rule(
        who=owners, wanted=some, later=st.sampled_from([1.0, 100.0]), capacity=st.sampled_from([CAPACITY, 60])
    )
    def begin(self, who, wanted, later, capacity):
        self.clock += later
        pairs = [(key, sizes[key]) for key in wanted]
        admission = self.cache(who).begin_admit(MEDIUM, pairs, capacity, LruRanker().rank, self.clock)
        assert sum(size for _, size in admission.wanted) <= capacity
        assert len(set(admission.victims)) == len(admission.victims)
        self.admissions.append((who, admission))

    @precondition(lambda self: self.admissions)
    @rule(data=st.data())
    def finish(self, data):
        who, admission = self.admissions.pop(data.draw(st.integers(0, len(self.admissions) - 1)))
        gone = [key for key in admission.victims if data.draw(st.integers(0, 9)) < 8]
        for key in gone:
            self.bytes.pop(key, None)
        for key, size in self.cache(who).finish_admit(admission, gone, self.clock):
            assert key not in self.bytes
            self.grants.append((who, key, size))

    @precondition(lambda self: self.grants)
    @rule(data=st.data(), arrives=st.booleans())
    def put_and_settle(self, data, arrives):
        who, key, size = self.grants.pop(data.draw(st.integers(0, len(self.grants) - 1)))
        if arrives:
            assert key not in self.bytes
            self.bytes[key] = size
            self.check()
            self.cache(who).settle(MEDIUM, [key])
            assert self.cache(who).resident(MEDIUM, [key]) == {key: size}
        else:
            self.cache(who).settle(MEDIUM, [], [key])
            assert self.cache(who).resident(MEDIUM, [key]) == {}

    @rule(who=owners, chosen=some)
    def condemn(self, who, chosen):
        resident = self.cache(who).resident(MEDIUM, chosen)
        mine = self.cache(who).condemn(MEDIUM, chosen)
        assert sorted(mine) == sorted(resident)
        self.doomed += [(who, key) for key in mine]

    @precondition(lambda self: self.doomed)
    @rule(data=st.data())
    def drop(self, data):
        who, key = self.doomed.pop(data.draw(st.integers(0, len(self.doomed) - 1)))
        self.bytes.pop(key, None)
        assert self.cache(who).drop(MEDIUM, [key]) == sizes[key]

    @rule(who=owners, chosen=some)
    def touch(self, who, chosen):
        self.cache(who).touch(MEDIUM, chosen, self.clock)

    @rule(who=owners, killed=st.booleans(), data=st.data())
    def die(self, who, killed, data):
        """Bytes of its grants may have arrived; victims may have gone."""
        for owner, key, size in self.grants:
            if owner == who and data.draw(st.booleans()):
                self.bytes[key] = size
        if killed:
            volatile = self.catalogs[who]._volatile
            connection = apsw.Connection(str(self.path / "volatile.db"))
            connection.execute(
                "UPDATE owners SET identity = 'another-boot/-/1/1' WHERE id = ?", (volatile.owner(),)
            )
            connection.close()
            self.catalogs[who]._presence.leave()
            volatile._db.close()
            self.catalogs[who]._db.close()
        else:
            self.catalogs[who].close()
        self.grants = [grant for grant in self.grants if grant[0] != who]
        self.doomed = [row for row in self.doomed if row[0] != who]
        self.admissions = [row for row in self.admissions if row[0] != who]
        self.catalogs[who] = Catalog.open(self.path)
        self.catalogs[who]._volatile.reap(force=True)

    @invariant()
    def check(self):
        connection = apsw.Connection(str(self.path / "volatile.db"))
        ((cache, used, entries),) = connection.execute("SELECT id, used, entries FROM caches").fetchall()
        rows = connection.execute("SELECT id, key, size FROM residency ORDER BY id").fetchall()
        connection.close()
        assert [row[0] for row in rows] == [(cache << SLOT_BITS) + slot for slot in range(1, entries + 1)]
        assert used == sum(row[2] for row in rows) <= CAPACITY
        assert self.bytes.items() <= {row[1]: row[2] for row in rows}.items()


TestResidencyMachine = ResidencyMachine.TestCase
TestResidencyMachine.settings = settings(
    deadline=None,
    max_examples=60,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)
