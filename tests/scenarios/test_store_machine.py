"""The whole store against a dict, over several stacks: whatever is done, every read is right.

Tiers go down and come back, bytes change on media, caches are too small, stores are closed and opened again.
An error is allowed where the model says that nothing can serve the read; a wrong byte never is.
"""

from __future__ import annotations

import io
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, dag, store

from ziggurat import Cid, Store
from ziggurat.catalog import Catalog
from ziggurat.config.model import Retry, TierConfig
from ziggurat.content import DAG_CBOR, DAG_JSON, RAW, Profile, dagcbor, dagjson, write_car
from ziggurat.content.parcel import Parcel
from ziggurat.errors import (
    BlobNotFound,
    BlobPinned,
    LastCopy,
    NotDurable,
    StoreError,
    StoreUnavailable,
    TierError,
)
from ziggurat.plugin.registry import Registry
from ziggurat.tiers import CacheTier, StoreTier, make_tier

PROFILE = Profile(chunk_size=64, max_links=3)
SIZES = (0, 1, 63, 64, 65, 200, 64 * 9, 64 * 10 + 17)

Tiers = Callable[["Machine", Catalog], Sequence[CacheTier | StoreTier]]


@define(frozen=True)
class Shape:
    """A stack to test.

    Attributes:
        tiers: Makes its tiers again, over the same media, at each opening.
        rigs: Names of the stores whose media a test may break.
        dags: The same, of dag stores.
        min_copies: Copies of a put.
    """

    tiers: Tiers
    rigs: tuple[str, ...] = ()
    dags: tuple[str, ...] = ()
    min_copies: int = 1


def real(
    machine: Machine, catalog: Catalog, backend: str, name: str, role: str, capacity: int | None = None
) -> Any:
    """A tier over an installed backend."""
    provider, kind = Registry().load_backend(backend)
    options = kind.options(path=str(machine.folder / name)) if backend == "disk" else kind.options()
    config = TierConfig(name, provider, kind, role, options, capacity=capacity, retry=Retry(attempts=1))  # type: ignore[arg-type]  # a role
    return make_tier(config, catalog=catalog.id, spool=machine.folder)


SHAPES = {
    "memory over disk": Shape(
        lambda m, c: [real(m, c, "memory", "ram", "cache", 900), real(m, c, "disk", "a", "store")]
    ),
    "two caches over two disks": Shape(
        lambda m, c: [
            real(m, c, "memory", "ram", "cache", 500),
            real(m, c, "disk", "ssd", "cache", 1500),
            real(m, c, "disk", "a", "store"),
            real(m, c, "disk", "b", "store"),
        ],
        min_copies=2,
    ),
    "two breakable stores": Shape(
        lambda m, c: [
            real(m, c, "memory", "ram", "cache", 500),
            store("a", m.rig("a"), catalog=c.id),
            store("b", m.rig("b"), catalog=c.id),
        ],
        rigs=("a", "b"),
    ),
    "two breakable stores, two copies": Shape(
        lambda m, c: [
            real(m, c, "disk", "ssd", "cache", 1500),
            store("a", m.rig("a"), catalog=c.id),
            store("b", m.rig("b"), catalog=c.id),
        ],
        rigs=("a", "b"),
        min_copies=2,
    ),
    "memory over dag": Shape(
        lambda m, c: [real(m, c, "memory", "ram", "cache", 900), dag("d", m.dag("d"))], dags=("d",)
    ),
    "dag and disk": Shape(
        lambda m, c: [
            dag("d", m.dag("d")),
            real(m, c, "disk", "a", "store"),
            store("b", m.rig("b"), catalog=c.id),
        ],
        rigs=("b",),
        dags=("d",),
        min_copies=2,
    ),
    "with a source": Shape(
        lambda m, c: [
            real(m, c, "memory", "ram", "cache", 900),
            store("a", m.rig("a"), catalog=c.id),
            store("s", m.rig("s"), role="source"),
        ],
        rigs=("a", "s"),
    ),
}


def content(seed: int, size: int) -> bytes:
    # Few seeds, and repeats within: blobs share leaves with each other and with themselves.
    return (random.Random(seed).randbytes(128) * (size // 128 + 1))[:size]


CONTENTS = st.builds(content, st.integers(0, 3), st.sampled_from(SIZES))


class Machine(RuleBasedStateMachine):
    """See the module."""

    shape: Shape

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ziggurat-machine-"))
        self.rigs: dict[str, Rig] = {}
        self.media: dict[str, DagMedium] = {}
        self.files: dict[Cid, bytes] = {}  # every content that was ever named
        self.folders: dict[Cid, dict[str, bytes]] = {}
        self.links: dict[Cid, set[Cid]] = {}  # of data
        self.roots: set[Cid] = set()
        self.pins: set[Cid] = set()
        self.down: set[str] = set()
        self.damaged: set[str] = set()
        self.number = 0

    def rig(self, name: str) -> Rig:
        return self.rigs.setdefault(name, Rig(markers=True))

    def dag(self, name: str) -> DagMedium:
        return self.media.setdefault(name, DagMedium())

    @initialize()
    def start(self) -> None:
        self._open()

    def _open(self) -> None:
        catalog = Catalog.open(self.folder / "vault")
        self.store = Store.from_tiers(
            self.shape.tiers(self, catalog),
            path=self.folder / "vault",
            profile=PROFILE,
            min_copies=self.shape.min_copies,
            catalog=catalog,
        )

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the model ----------------------------------------------------------------------------------

    def kept(self) -> set[Cid]:
        """Blobs that a root or a pin reaches."""
        kept = self.roots | self.pins
        waiting = list(kept)
        for cid in waiting:
            below = {self.cids[data] for data in self.folders.get(cid, {}).values()} | self.links.get(
                cid, set()
            )
            waiting += below - kept
            kept |= below
        return kept

    @property
    def cids(self) -> dict[bytes, Cid]:
        return {data: cid for cid, data in self.files.items()}

    @property
    def whole(self) -> bool:
        """Nothing is broken: every promise must be kept without excuse."""
        return not self.down and not self.damaged

    def may_fail(self, cid: Cid) -> bool:
        """True if a read of a kept blob may find no tier that serves it."""
        return len(self.down | self.damaged) >= self.shape.min_copies

    def read(self, cid: Cid, call: Callable[[], bytes], expected: bytes) -> None:
        try:
            got = call()
        except BlobNotFound:
            assert cid not in self.kept() or not self.whole, f"{cid} is kept and was not found"
        except StoreUnavailable:
            assert self.may_fail(cid) or cid not in self.kept(), f"{cid} is kept, and a tier could serve it"
            assert not self.whole, "nothing is broken"
        else:
            assert got == expected, f"wrong bytes of {cid}"

    # -- putting ------------------------------------------------------------------------------------

    @rule(data=CONTENTS, way=st.sampled_from(["bytes", "bytearray", "path", "file", "stream"]))
    def put(self, data: bytes, way: str) -> None:
        path = self.folder / "source"
        path.write_bytes(data)
        source: Any = {
            "bytes": lambda: data,
            "bytearray": lambda: bytearray(data),
            "path": lambda: path,
            "file": lambda: io.BytesIO(data),
            "stream": lambda: (data[at : at + 50] for at in range(0, len(data), 50)),
        }[way]()
        try:
            receipt = self.store.put(source)
        except NotDurable:
            assert self.down, "every store is up"
            return
        assert receipt.size == len(data)
        assert len(receipt.copies) >= self.shape.min_copies
        assert self.files.setdefault(receipt.cid, data) == data
        self.roots.add(receipt.cid)

    @rule(datas=st.lists(CONTENTS, min_size=1, max_size=4))
    def put_many(self, datas: list[bytes]) -> None:
        for data, answer in zip(datas, self.store.put_many(datas), strict=True):
            if isinstance(answer, Exception):
                assert self.down, answer
            else:
                self.files[answer.cid] = data
                self.roots.add(answer.cid)

    @rule(entries=st.dictionaries(st.sampled_from(["a", "b c", "ä"]), CONTENTS, min_size=1))
    def put_dir(self, entries: dict[str, bytes]) -> None:
        path = self.folder / "tree"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for name, data in entries.items():
            (path / name).write_bytes(data)
        try:
            receipt = self.store.put_dir(path)
        except NotDurable:
            assert self.down
            return
        assert receipt.size == sum(map(len, entries.values()))
        self.folders[receipt.cid] = entries
        for data in entries.values():
            self.files[self._cid_of(data)] = data
        self.roots.add(receipt.cid)

    @rule(
        contents=st.lists(CONTENTS, max_size=3),
        inner=st.booleans(),
        codec=st.sampled_from([DAG_CBOR, DAG_JSON]),
    )
    def import_data(self, contents: list[bytes], inner: bool, codec: int) -> None:
        """A CAR of data over files, perhaps with data between."""
        pairs: dict[Cid, bytes] = {}
        files = {self._cid_of(data, pairs): data for data in contents}
        encode = dagcbor.encode if codec == DAG_CBOR else dagjson.encode
        block = encode(list(files))
        root = top = Cid.of(block, codec)
        blocks = {root: block}
        if inner:
            block = dagcbor.encode({"inner": root})
            top = Cid.of(block, DAG_CBOR)
            blocks[top] = block
        car = b"".join(write_car([top], {**pairs, **blocks}.items()))
        try:
            (receipt,) = self.store.import_car([car])
        except NotDurable:
            assert self.down
            return
        assert receipt.cid == top
        self.files |= {**files, **blocks}
        self.links[root] = set(files)
        if inner:
            self.links[top] = {root}
        self.roots.add(top)

    def _cid_of(self, data: bytes, pairs: dict[Cid, bytes] | None = None) -> Cid:
        from ziggurat.content import import_file

        built = import_file(lambda offset, size: data[offset : offset + size], len(data), PROFILE)
        if pairs is not None:
            pairs.update(Parcel.of_file(built, data=data).pairs())
        return built.root

    # -- reading ------------------------------------------------------------------------------------

    @precondition(lambda self: self.files)
    @rule(
        choice=st.randoms(use_true_random=False),
        way=st.sampled_from(["get", "text", "stream", "open", "export"]),
    )
    def get(self, choice: random.Random, way: str) -> None:
        cid, data = choice.choice(sorted(self.files.items(), key=lambda item: str(item[0])))

        def file() -> bytes:
            with self.store.open(cid) as opened:
                return opened.read()

        def exported() -> bytes:
            self.store.export_car(cid, io.BytesIO())
            return data

        calls = {
            "get": lambda: self.store.get(cid),
            "text": lambda: self.store.get(f"/ipfs/{cid}"),
            "stream": lambda: b"".join(self.store.stream(cid)),
            "open": file,
            "export": exported,
        }
        self.read(cid, calls[way], data)

    @precondition(lambda self: self.files)
    @rule(choice=st.randoms(use_true_random=False))
    def get_range(self, choice: random.Random) -> None:
        cid, data = choice.choice(sorted(self.files.items(), key=lambda item: str(item[0])))
        start, length = choice.randint(0, len(data)), choice.randint(0, 300)
        self.read(cid, lambda: self.store.get(cid, start, length), data[start : start + length])

    @precondition(lambda self: self.folders)
    @rule(choice=st.randoms(use_true_random=False))
    def path(self, choice: random.Random) -> None:
        cid, entries = choice.choice(sorted(self.folders.items(), key=lambda item: str(item[0])))
        name = choice.choice(sorted(entries))
        self.read(cid, lambda: self.store.get(f"{cid}/{name}"), entries[name])
        listed = ",".join(sorted(entries)).encode()
        self.read(cid, lambda: ",".join(sorted(entry.path for entry in self.store.ls(cid))).encode(), listed)

    @precondition(lambda self: self.files)
    @rule(choice=st.randoms(use_true_random=False))
    def has(self, choice: random.Random) -> None:
        cid = choice.choice(sorted(self.files, key=str))
        try:
            answer = self.store.has(cid)
        except StoreUnavailable:
            assert self.down
        else:
            assert answer or cid not in self.kept() or not self.whole

    @rule()
    def nowhere(self) -> None:
        cid = Cid.of(b"nowhere", RAW)
        with pytest.raises((BlobNotFound, StoreUnavailable)) as caught:
            self.store.get(cid)
        assert isinstance(caught.value, BlobNotFound) or self.down

    # -- keeping and giving up ----------------------------------------------------------------------

    @precondition(lambda self: self.roots)
    @rule(choice=st.randoms(use_true_random=False))
    def pin(self, choice: random.Random) -> None:
        cid = choice.choice(sorted(self.roots, key=str))
        try:
            self.store.pin(cid)
        except (StoreUnavailable, BlobNotFound):
            assert not self.whole
        else:
            self.pins.add(cid)

    @precondition(lambda self: self.pins)
    @rule(choice=st.randoms(use_true_random=False))
    def unpin(self, choice: random.Random) -> None:
        cid = choice.choice(sorted(self.pins, key=str))
        assert self.store.unpin(cid)
        self.pins.discard(cid)

    @precondition(lambda self: self.roots)
    @rule(choice=st.randoms(use_true_random=False), collect=st.booleans())
    def remove(self, choice: random.Random, collect: bool) -> None:
        cid = choice.choice(sorted(self.roots, key=str))
        try:
            self.store.remove(cid)
        except BlobPinned:
            assert cid in self.pins
        else:
            assert cid not in self.pins
            self.roots.discard(cid)
        if collect:
            self.gc()

    @rule()
    def gc(self) -> None:
        self.store.gc()
        if self.whole:
            kept = self.kept()
            for cid in self.files:
                held = self.store.has(cid)
                assert held == (cid in kept), f"after gc {cid} is {'held' if held else 'gone'}"

    @precondition(lambda self: self.files)
    @rule(choice=st.randoms(use_true_random=False))
    def evict(self, choice: random.Random) -> None:
        cid = choice.choice(sorted(self.files, key=str))
        tier = choice.choice([one.name for one in self.store.tiers if one.role != "source"])
        try:
            self.store.evict(cid, tier)
        except BlobPinned:
            assert cid in self.kept()
        except LastCopy as error:
            # A child that a closure carries goes with its root, which may be kept no longer.
            assert cid in self.kept() or "as part of" in str(error)
        except BlobNotFound:
            assert cid not in self.kept() or not self.whole
        except StoreError:
            assert not self.whole or cid not in self.kept()
        except TierError:
            assert self.down
        # One copy is enough from here on: what is left is what eviction leaves.
        self.damaged |= {"evicted"} if self.shape.min_copies > 1 else set()

    # -- what befalls a stack -----------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self._open()

    @precondition(lambda self: self.shape.rigs or self.shape.dags)
    @rule(choice=st.randoms(use_true_random=False))
    def down_or_up(self, choice: random.Random) -> None:
        name = choice.choice([*self.shape.rigs, *self.shape.dags])
        medium: Any = self.rigs[name] if name in self.rigs else self.media[name]
        medium.down = not medium.down
        (self.down.add if medium.down else self.down.discard)(name)

    @precondition(lambda self: any(self.rigs[name].held for name in self.shape.rigs if name in self.rigs))
    @rule(choice=st.randoms(use_true_random=False))
    def flip(self, choice: random.Random) -> None:
        name = choice.choice([name for name in self.shape.rigs if self.rigs[name].held])
        rig = self.rigs[name]
        key = choice.choice(sorted(rig.held))
        if rig.held[key]:
            rig.flip(key, choice.randrange(len(rig.held[key])))
            self.damaged.add(name)

    @precondition(lambda self: any(self.media[name].blocks for name in self.shape.dags if name in self.media))
    @rule(choice=st.randoms(use_true_random=False))
    def flip_block(self, choice: random.Random) -> None:
        name = choice.choice([name for name in self.shape.dags if self.media[name].blocks])
        medium = self.media[name]
        cid = choice.choice(sorted(medium.blocks, key=str))
        if block := medium.blocks[cid]:
            medium.blocks[cid] = bytes([block[0] ^ 1]) + block[1:]
            self.damaged.add(name)

    # -- what always holds --------------------------------------------------------------------------

    @invariant()
    def caches_are_within_their_capacity(self) -> None:
        if not hasattr(self, "store"):
            return
        self.store._parts.filler.drain()
        for cache in self.store._parts.caches.caches:
            used, entries = cache.usage()
            held = {key: cache.tier.stat_key(key) for key in cache.tier.hooks.scan()}  # type: ignore[misc]  # both can list
            sizes = [stat.stored or 0 for stat in held.values() if stat is not None]
            assert sum(sizes) <= cache.capacity
            assert (used, entries) == (sum(sizes), len(sizes)), (
                "the accounts of a cache are not what it holds"
            )

    @invariant()
    def accounts_are_what_stores_hold(self) -> None:
        if not hasattr(self, "store") or not self.whole:
            return
        used = {one.tier: one.used for one in self.store.stats().tiers}
        for name in self.shape.rigs:
            if used.get(name) is not None:
                assert used[name] == sum(map(len, self.rigs[name].held.values())), f"accounts of {name}"


@pytest.mark.parametrize("name", SHAPES)
def test_machine(name: str) -> None:
    machine = type("ShapedMachine", (Machine,), {"shape": SHAPES[name]})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12 if "disk" in name else 25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
