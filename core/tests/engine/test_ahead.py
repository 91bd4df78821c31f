"""Walks over blocks that are far away: several are asked for at once, and no more wait than should."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attrs import define, evolve, field
from tests.support.dag_backend import DagBackend, DagMedium, backend
from tests.support.rigged import PASS, Rig, dag, rig_type, source, store

from ziggurat import Cid, Store
from ziggurat.backend import Capabilities, Key
from ziggurat.content import DAG_CBOR, Profile, Value, dagcbor, parse_node, read_car, write_car
from ziggurat.content.assemble import Asked, assemble
from ziggurat.content.layout import Want
from ziggurat.errors import StoreUnavailable, TierUnavailable

Make = Callable[..., Store]
OLD = Profile(chunk_size=64, max_links=30, raw_leaves=False, cid_version=0)


@define
class Crowd:
    """Holds everybody until some are there together, or has seen for a minute that they do not come."""

    inside: int = 0
    most: int = 0
    turn: threading.Condition = field(factory=threading.Condition)
    patience: float = 60.0

    def enter(self) -> None:
        with self.turn:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.turn.notify_all()
            if not self.turn.wait_for(lambda: self.most >= 4, self.patience):
                self.patience /= 2
            self.inside -= 1


def fill(make: Make, kind: str, tmp_path: Path) -> tuple[DagMedium, Cid]:
    """A medium with one root that has many blocks beneath it."""
    medium = DagMedium()
    if kind == "data":
        pairs = {Cid.of(part): part for part in (b"part %d" % number for number in range(20))}
        block = dagcbor.encode(list[Value](pairs))
        root = Cid.of(block, DAG_CBOR)
        make(dag("d", medium)).import_car(
            io.BytesIO(b"".join(write_car([root], {**pairs, root: block}.items())))
        )
        return medium, root
    if kind == "leaves":
        return medium, make(dag("d", medium), profile=OLD).put(bytes(range(256)) * 6).cid
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(200 if kind == "shards" else 40):  # so that there are more than four shards
        (folder / f"number {number}").write_bytes(b"%d" % number)
    profile = Profile(hamt_threshold=100 if kind == "shards" else 1 << 20)
    root = make(dag("d", medium), profile=profile).put_dir(folder).cid
    assert parse_node(medium.blocks[root]).type == ("hamt" if kind == "shards" else "directory")
    return medium, root


@pytest.mark.parametrize("kind", ["data", "folder", "shards", "leaves"])
def test_a_far_tier_is_asked_for_several_blocks_at_once(make: Make, tmp_path: Path, kind: str) -> None:
    medium, root = fill(make, kind, tmp_path)
    crowd, asked = Crowd(), Counter[str]()

    class Far(DagBackend):
        def _ask(self, op: str, key: str | None) -> tuple[DagMedium, Key]:
            if op == "get":
                asked[str(key)] += 1
                if key is not None and not key.startswith(str(root.key)):
                    crowd.enter()
            return super()._ask(op, key)

    far = evolve(backend, factory=Far, capabilities=Capabilities(form="dag", durable=True))
    stack = make(dag("far", medium, kind=far))
    target = io.BytesIO()
    stack.export_car(root, target)
    assert dict(read_car((target.getvalue(),))) == medium.blocks
    assert crowd.most >= 4


def test_a_far_store_of_bytes_too(make: Make, tmp_path: Path) -> None:
    medium, root = fill(make, "data", tmp_path)
    rig, crowd = Rig({str(cid.key): block for cid, block in medium.blocks.items()}), Crowd()

    def on(op: str, key: str, *_: object) -> object:
        if op == "get" and key != root.key:
            crowd.enter()
        return PASS

    rig.on = on
    near = DagMedium()
    make(dag("near", near), source("far", rig, kind=rig_type(local=False, durable=True))).copy(root, "near")
    assert near.blocks == medium.blocks
    assert crowd.most >= 4
    assert Counter(key for op, key, _ in rig.asked if op == "get").most_common(1)[0][1] == 1


def test_the_first_that_fails_is_named_and_asked_once(make: Make, tmp_path: Path) -> None:
    medium, root = fill(make, "data", tmp_path)
    links = dagcbor.decode(medium.blocks[root])
    assert isinstance(links, list)
    lost, late = links[7], links[11]
    rig = Rig({str(cid.key): block for cid, block in medium.blocks.items()})

    def on(op: str, key: str, *_: object) -> object:
        if op == "get" and key in (lost.key, late.key):
            raise TierUnavailable(f"{key} is out of reach", retryable=False)
        return PASS

    rig.on = on
    stack = make(dag("near"), source("far", rig, kind=rig_type(local=False, durable=True)))
    with pytest.raises(StoreUnavailable) as caught:
        stack.export_car(root, io.BytesIO())
    assert caught.value.cid == str(lost)
    asked = Counter(key for op, key, _ in rig.asked if op == "get")
    assert asked[str(lost.key)] == 1


def test_a_walk_that_waits_holds_up_no_stream(make: Make, tmp_path: Path) -> None:
    medium, root = fill(make, "data", tmp_path)
    rig, near = Rig({str(cid.key): block for cid, block in medium.blocks.items()}), Rig()
    crowd, go = threading.Semaphore(0), threading.Event()

    def on(op: str, key: str, *_: object) -> object:
        if op == "get" and key in rig.held and key != root.key:
            crowd.release()
            assert go.wait(30)
        return PASS

    rig.on = on
    stack = make(store("near", near), source("far", rig, kind=rig_type(local=False, durable=True)))
    data = bytes(range(256)) * 100
    cid = stack.put(data).cid
    walk = threading.Thread(target=stack.export_car, args=(root, io.BytesIO()))
    got: list[bytes] = []
    read = threading.Thread(target=lambda: got.append(b"".join(stack.stream(cid))))
    walk.start()
    try:
        for _ in range(8):
            assert crowd.acquire(timeout=60)
        read.start()
        read.join(20)
        assert got == [data]
    finally:
        go.set()
        walk.join()
        read.join()


@define
class Hoard:
    """Blocks as they are made up; knows how many bytes were handed out at once, and of what."""

    blocks: dict[Cid, bytes]
    batches: list[list[Cid]] = field(factory=list)
    alone: int = 0

    def raw_block(self, want: Want, root: Cid) -> bytes:
        self.alone += 1
        return self.blocks[want.cid]

    def several(self, asked: Sequence[Asked]) -> list[bytes]:
        self.batches.append([want.cid for want, _ in asked])
        return [self.blocks[want.cid] for want, _ in asked]

    def known(self, root: Cid) -> None:
        return None

    def leaves(self, layout: object) -> object:
        raise AssertionError


def test_what_waits_is_bounded_however_deep_a_walk_goes() -> None:
    """Each level has large siblings that wait while what lies beneath the first is walked."""
    blocks: dict[Cid, bytes] = {}
    below: Cid | None = None
    for level in range(20):
        twins = [bytes([level, twin]) * (1 << 19) for twin in range(15)]
        blocks |= {Cid.of(twin): twin for twin in twins}
        block = dagcbor.encode([below, *map(Cid.of, twins)])
        below = Cid.of(block, DAG_CBOR)
        blocks[below] = block
    assert below is not None
    hoard = Hoard(blocks)
    parcel = assemble(below, hoard)  # type: ignore[arg-type] # no file is in it
    assert len(parcel.children) == 16
    assert all(len(batch) == len(set(batch)) <= 16 for batch in hoard.batches)
    # 7.5 MiB come with each of the first siblings; then each is asked for at its turn, until these are used.
    assert len(hoard.batches[0]) == 16
    got = Counter(cid for batch in hoard.batches for cid in batch)
    assert got.most_common(1)[0][1] == 1, "nothing is asked for twice"
    assert sum(got.values()) + hoard.alone == len(blocks)
    assert hoard.alone > 18


def test_a_leaf_that_repeats_waits_once() -> None:
    blocks = {Cid.of(b"same"): b"same"}
    same = next(iter(blocks))
    middle = []
    for number in range(50):
        block = dagcbor.encode([number, same, same])
        middle.append(Cid.of(block, DAG_CBOR))
        blocks[middle[-1]] = block
    block = dagcbor.encode(list[Value](middle))
    root = Cid.of(block, DAG_CBOR)
    blocks[root] = block
    hoard = Hoard(blocks)
    assemble(root, hoard)  # type: ignore[arg-type] # no file is in it
    assert sum(map(len, hoard.batches)) + hoard.alone == len(blocks)
    assert len(hoard.batches) < 8
