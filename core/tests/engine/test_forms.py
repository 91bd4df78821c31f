"""Bytes form, dag form and CARs: the same blobs, whole and byte-identical, in every direction."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.support.dag_backend import DagMedium, backend
from tests.support.rigged import Rig, cache, dag, store

from ziggurat.backend import ByteRange
from ziggurat.content import Profile
from ziggurat.content.car import write_car
from ziggurat.errors import (
    BlobNotFound,
    LastCopy,
    NotAFile,
    RangeError,
)

from .conftest import SMALL
from .foreign import DATA, FOREIGN, PROFILES, Make, exported, foreign


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_tree_goes_everywhere_and_comes_back_whole(make: Make, name: str) -> None:
    tree, root, data = foreign(name)
    rig, medium, back = Rig(), DagMedium(), Rig()
    first = make(store("a", rig), dag("d", medium), store("back", back))
    [receipt] = first.import_car([tree.car(root)])
    assert (receipt.cid, receipt.size) == (root, len(data))
    assert rig.held[root.key] == data
    first.copy(root, "d")
    assert {cid: medium.blocks[cid] for cid in tree.blocks} == tree.blocks
    for stack in (
        make(store("a", rig)),
        make(dag("d", medium)),
        make(cache("ram"), store("a", rig)),
        make(cache("ram"), dag("d", medium)),
    ):
        for _ in range(2):
            assert stack.get(root) == data
            assert exported(stack, root) == ((root,), tree.blocks)
        for start in range(len(data) + 1):
            assert stack.get(root, start, 13) == data[start : start + 13]
        assert b"".join(stack.stream(root)) == data
        with stack.open(root) as file:
            assert file.read() == data
    only = make(dag("d", medium), store("back", back))
    only.copy(root, "back")
    assert back.held == rig.held
    assert all(finding.ok for finding in only.verify(root))
    for stack in (make(store("a", rig)), make(dag("d", medium))):
        assert stack.adopt(root, stack.tiers[0].name).cid == root
        assert [finding.ok for finding in stack.verify(root)] == [True]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 64 * 9, 64 * 10 + 17])
def test_our_own_trees_go_everywhere(make: Make, profile: str, size: int) -> None:
    data = DATA[:size]
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig), dag("d", medium), profile=PROFILES[profile])
    cid = stack.put(data).cid
    first = exported(stack, cid)
    stack.copy(cid, "d")
    alone = make(dag("d", medium), cache("ram"), profile=PROFILES[profile])
    assert alone.get(cid) == data
    assert exported(alone, cid) == first
    other = Rig()
    back = make(dag("d", medium), store("b", other))
    back.copy(cid, "b")
    assert other.held == rig.held
    with io.BytesIO() as car:
        alone.export_car(cid, car)
        third = Rig()
        [receipt] = make(store("c", third)).import_car([car.getvalue()])
    assert receipt.cid == cid
    assert third.held == rig.held


def test_a_file_put_to_both_forms_at_once(make: Make) -> None:
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig), dag("d", medium), min_copies=2, profile="unixfs-v1-2025")
    data = random.Random(1).randbytes(9 << 20)
    assert stack.put(iter([data[: 1 << 20], data[1 << 20 :]])).cid == stack.put(data).cid


# -- what is asked ----------------------------------------------------------------------------------


def test_a_small_range_of_a_large_file_reads_at_most_two_leaves(make: Make) -> None:
    size = 1 << 30

    def zeros() -> Any:
        piece = bytes(1 << 20)
        for _ in range(size >> 20):
            yield piece

    class Sparse(Rig):
        """Keeps how many zeros there are."""

        def answer(self, key: str, byte_range: ByteRange | None) -> Any:
            if "." in key:
                return super().answer(key, byte_range)
            assert byte_range is not None, "the whole gibibyte was asked for"
            return self.blob(bytes(byte_range.length))

    from ziggurat.content.car import write_car as write
    from ziggurat.content.importer import import_file
    from ziggurat.content.profile import PROFILES as NAMED

    piece = bytes(1 << 20)
    built = import_file(lambda offset, length: piece[:length], size, NAMED["unixfs-v1-2025"])
    rig = Sparse(style="chunks")
    rig.held[built.root.nodes_key] = b"".join(write([built.root], built.nodes.items()))
    rig.held[built.root.key] = b"there"
    stack = make(store("a", rig))
    for offset in (0, 5, (1 << 20) - 100, 700_000_001, size - (64 << 10)):
        rig.forget()
        stack._parts.reader._layouts.forget(built.root)
        assert stack.get(built.root, offset, 64 << 10) == bytes(64 << 10)
        assert rig.bytes_given <= (2 << 20) + len(rig.held[built.root.nodes_key])
    with stack.open(built.root) as file:
        rig.forget()
        file.seek(size // 2 + 1)
        assert file.read(10) == bytes(10)
        assert rig.bytes_given <= 2 << 20


def ranged() -> Any:
    return evolve(backend, capabilities=evolve(backend.capabilities, ranges=True))


def plain_dag() -> Any:
    return evolve(backend, capabilities=evolve(backend.capabilities, ranges=False))


def test_a_range_of_a_dag_store_asks_for_what_it_needs(make: Make) -> None:
    medium = DagMedium()
    stack = make(dag("d", medium, kind=plain_dag()))
    cid = stack.put(DATA).cid
    for start, length in ((0, 64), (70, 10), (600, 57), (63, 2)):
        medium.asked.clear()
        assert stack.get(cid, start, length) == DATA[start : start + length]
        asked = [key for op, key in medium.asked if op == "get"]
        assert cid.key not in asked, "the whole DAG was asked for"
        # A way down of three nodes, and one leaf or two.
        assert len(asked) == len(set(asked)) <= 5 + (start == 63)


@pytest.mark.parametrize("kind", [ranged, plain_dag])
def test_ranges_at_every_edge(make: Make, kind: Callable[[], Any]) -> None:
    medium = DagMedium()
    stack = make(dag("d", medium, kind=kind()))
    tier = stack.tiers[0]
    ordinary = tier._get

    def get(key: str, byte_range: ByteRange | None, note: Any) -> Any:
        assert byte_range is None or byte_range.stop <= len(DATA), "a hint outside the blob"
        return ordinary(key, byte_range, note)

    tier._get = get
    cid = stack.put(DATA).cid
    for start in (0, 1, 63, 64, 65, len(DATA) - 1, len(DATA)):
        for length in (0, 1, 64, 65, len(DATA), 1 << 40, None):
            expected = DATA[start:] if length is None else DATA[start : start + length]
            assert stack.get(cid, start, length) == expected
            assert b"".join(stack.stream(cid, start, length)) == expected
    for start, length in ((-1, 5), (0, -1), (-5, None), (len(DATA) + 1, None), (len(DATA) + 1, 5), (-1, 0)):
        with pytest.raises(RangeError):
            stack.get(cid, start, length)
        with pytest.raises(RangeError):
            stack.stream(cid, start, length)


def test_looking_at_a_blob_does_not_stream_it(make: Make) -> None:
    medium = DagMedium()
    stack = make(dag("d", medium))
    cid = stack.put(DATA).cid
    medium.asked.clear()
    stack.stat(cid)
    list(stack.ls(cid))
    stack.open(cid).close()
    assert cid.key not in [key for op, key in medium.asked if op == "get"]


# -- directories ------------------------------------------------------------------------------------


def folder(tmp_path: Path, names: int = 4) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / "deeper").mkdir(parents=True)
    for number in range(names):
        (root / f"file {number}").write_bytes(DATA[: number * 70])
        (root / "sub" / "deeper" / f"ä{number}").write_bytes(DATA[number:])
    (root / "again").write_bytes(DATA)
    (root / "link").symlink_to("sub/deeper")
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize(
    "profile",
    [
        SMALL,
        evolve(SMALL, hamt_threshold=1, hamt_fanout=8),
        Profile(chunk_size=64, max_links=3, cid_version=0, raw_leaves=False),
    ],
    ids=["flat", "hamt", "v0"],
)
def test_a_directory_in_both_forms(make: Make, tmp_path: Path, profile: Profile) -> None:
    root = folder(tmp_path)
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig), dag("d", medium), min_copies=2, profile=profile)
    receipt = stack.put_dir(root)
    cid = receipt.cid
    stacks = [stack, make(store("a", rig)), make(dag("d", medium)), make(cache("ram"), dag("d", medium))]
    for number, one in enumerate(stacks):
        assert one.get(f"{cid}/sub/deeper/ä2") == DATA[2:]
        assert one.get(f"/ipfs/{cid}/again") == DATA
        assert {entry.path for entry in one.ls(cid)} == {path.name for path in root.iterdir()}
        one.save(cid, tmp_path / f"out{number}")
        for path in root.rglob("*"):
            saved = tmp_path / f"out{number}" / path.relative_to(root)
            assert saved.is_symlink() == path.is_symlink()
            if path.is_symlink():
                assert saved.readlink() == path.readlink()
            elif path.is_file():
                assert saved.read_bytes() == path.read_bytes()
        with pytest.raises(NotAFile):
            one.get(cid)
        with pytest.raises(NotAFile):
            one.open(cid)
        with pytest.raises(NotAFile):
            one.stream(f"{cid}/link")
        with pytest.raises(NotAFile):
            one.get(f"{cid}/link/ä1")
        with pytest.raises(NotAFile):
            one.get(f"{cid}/again/x")
        for lost in ("nothing", "sub/nothing", "..", ".", "sub/../again", "file", "\udcff", "again\0"):
            with pytest.raises(BlobNotFound):
                one.get(f"{cid}/{lost}")
    want = exported(stacks[0], cid)
    assert all(exported(one, cid) == want for one in stacks[1:])
    back = Rig()
    again = make(store("b", back))
    assert again.import_car([b"".join(write_car(want[0], want[1].items()))])[0].cid == cid
    assert back.held == rig.held


def test_a_child_of_a_dag_store_is_kept_under_its_root(make: Make, tmp_path: Path) -> None:
    root = folder(tmp_path)
    medium = DagMedium()
    stack = make(dag("d", medium))
    cid = stack.put_dir(root).cid
    child = next(entry.cid for entry in stack.ls(cid) if entry.path == "again")
    assert child not in medium.roots
    assert stack.has(child)
    assert [copy.under for copy in stack.stat(child).copies] == [cid]
    with pytest.raises(LastCopy):
        stack.evict(child, "d")
    with pytest.raises(LastCopy):
        stack.evict(cid, "d")
    stack.pin(child)
    stack.remove(cid)
    with pytest.raises(LastCopy):
        stack.evict(cid, "d")
    assert not any(one.blobs for one in stack.gc())
    assert stack.get(child) == DATA
    stack.unpin(child)
    stack.gc()
    assert not medium.blocks
    assert not stack.has(child)
