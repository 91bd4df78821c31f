"""Any sequence of calls, by two backends on one folder and among crashes' leavings, agrees with a dict."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import apsw
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ziggurat.backend import Blob, ByteRange, Context
from ziggurat_disk import Disk, DiskOptions

KEYS = st.sampled_from(["bafaa", "bafaa.nodes", "bafab", "bafbb.block"])
SIZES = st.sampled_from([0, 1, 99, 100, 101, 5000])
WHICH = st.integers(0, 1)


class DiskMachine(RuleBasedStateMachine):
    @initialize(role=st.sampled_from(["store", "cache"]))
    def begin(self, role: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ziggurat-disk-"))
        self.role = role
        self.model: dict[str, bytes] = {}
        self.disks = [self.open(100), self.open(100)]

    def open(self, small: int) -> Disk:
        context = Context("tier", self.role, catalog="c", capacity=10**12)  # type: ignore[arg-type] # of two
        return Disk(DiskOptions(path=self.folder / "disk", small=small), context)

    def read(self, answer: bytes | Blob | None) -> bytes | None:
        if isinstance(answer, Blob):
            with answer:
                return answer.read()
        return answer

    @rule(which=WHICH, key=KEYS, size=SIZES, fill=st.integers(0, 255), whole=st.booleans())
    def put(self, which: int, key: str, size: int, fill: int, whole: bool) -> None:
        data = bytes([fill]) * size
        stat = self.disks[which].put(key, data if whole else Blob.of(data))
        assert (stat.size, stat.stored) == (size, size)
        self.model[key] = data

    @rule(which=WHICH, key=KEYS)
    def evict(self, which: int, key: str) -> None:
        assert self.disks[which].evict(key) == (self.model.pop(key, None) is not None)

    @rule(which=WHICH, key=KEYS)
    def look(self, which: int, key: str) -> None:
        disk, data = self.disks[which], self.model.get(key)
        assert self.read(disk.get(key, None)) == data
        assert disk.has(key) == (data is not None)
        stat = disk.stat(key)
        assert (stat and stat.size) == (None if data is None else len(data))
        if data:
            assert self.read(disk.get(key, ByteRange(len(data) // 2, 1))) == data[len(data) // 2 :][:1]

    @rule(which=WHICH, small=st.sampled_from([0, 100, 10_000]))
    def reopen(self, which: int, small: int) -> None:
        self.disks[which].close()
        self.disks[which] = self.open(small)

    @rule(key=KEYS, which=WHICH)
    def crash(self, key: str, which: int) -> None:
        """Leave what a crash can leave: garbage behind a row, named or not, and a file aside."""
        folder = self.folder / "disk"
        if key not in self.model or not (folder / "marker.json").exists():
            return
        connection = apsw.Connection(str(folder / "small.db"))
        if connection.execute("SELECT 1 FROM small WHERE key = ?", (key,)).get:
            shard = folder / "files" / key.partition(".")[0][-2:]
            shard.mkdir(exist_ok=True)
            (shard / key).write_bytes(b"garbage")
            if which:
                connection.execute("INSERT OR IGNORE INTO hidden VALUES (?)", (key,))
        connection.close()
        (folder / "tmp" / "left").write_bytes(b"part")

    @invariant()
    def lists_what_is_there(self) -> None:
        if hasattr(self, "disks"):
            assert sorted(self.disks[0].scan()) == sorted(self.model)

    def teardown(self) -> None:
        if hasattr(self, "disks"):
            for disk in self.disks:
                disk.close()
            shutil.rmtree(self.folder)


TestMachine = DiskMachine.TestCase
TestMachine.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)
