"""Trees that no writer of ours makes: inlined directories, endless repetition, and depth."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, dag, store

from ziggurat import Cid, Store
from ziggurat.content import DAG_PB, RAW, read_car
from ziggurat.content.car import write_car
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.directory import MAX_PATH_DEPTH
from ziggurat.content.unixfs import DIRECTORY_DATA, HAMT_HASH, inner_data
from ziggurat.content.varint import encode_varint
from ziggurat.errors import MalformedContent, UnsupportedContent

Make = Callable[..., Store]
Pairs = dict[Cid, bytes]


def directory(pairs: Pairs, links: Iterable[tuple[str, Cid]], hash_name: str = "sha2-256") -> Cid:
    block = encode_node([Link(cid, name.encode(), 1) for name, cid in links], DIRECTORY_DATA)
    cid = Cid.of(block, DAG_PB, hash_name)
    if cid.identity is None:
        pairs[cid] = block
    return cid


def raw(pairs: Pairs, data: bytes) -> Cid:
    cid = Cid.of(data)
    pairs[cid] = data
    return cid


def car(root: Cid, pairs: Pairs) -> io.BytesIO:
    return io.BytesIO(b"".join(write_car([root], pairs.items())))


@pytest.mark.parametrize("kind", ["bytes", "dag"])
def test_what_lies_beneath_an_inlined_directory_is_kept(make: Make, kind: str) -> None:
    pairs: Pairs = {}
    far = raw(pairs, b"far beneath")
    inner = directory(pairs, [("far", far), ("near", Cid.of(b"near", RAW, "identity"))], "identity")
    root = directory(pairs, [("sub", inner)])
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig) if kind == "bytes" else dag("d", medium))
    (receipt,) = stack.import_car(car(root, pairs))
    assert receipt.size == len(b"far beneathnear"), "an inlined file counts too"
    assert stack.get(f"{root}/sub/far") == b"far beneath"
    assert stack.get(f"{root}/sub/near") == b"near"
    assert [found.cid for found in stack.verify(root)][:1] == [root]
    assert sum(found.blobs for found in stack.gc()) == 0
    assert stack.get(f"{root}/sub/far") == b"far beneath"
    target = io.BytesIO()
    stack.export_car(root, target)
    assert dict(read_car((target.getvalue(),))) == pairs
    stack.remove(root)
    assert sum(found.blobs for found in stack.gc()) == (2 if kind == "bytes" else 1)


def test_an_identity_cid_is_never_kept(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    inlined = Cid.of(b"hello", RAW, "identity")
    for keep in (
        lambda: stack.copy(inlined, "a"),
        lambda: stack.adopt(inlined, "a"),
        lambda: stack.import_car(car(inlined, {})),
    ):
        with pytest.raises(UnsupportedContent, match="carries its own bytes"):
            keep()
    assert not stack.evict(inlined, "a").had
    assert not rig.held
    assert not rig.count("has")


def test_an_inlined_part_of_a_file_is_refused_and_not_cut_off(make: Make) -> None:
    pairs: Pairs = {}
    leaf = raw(pairs, b"leaf")
    inner = encode_node([Link(leaf, b"", 4)], inner_data(4, b"\x20\x04"))
    root = directory(pairs, [("file", Cid.of(inner, DAG_PB, "identity"))])
    with pytest.raises(UnsupportedContent, match="inlines a part of a file"):
        make(store("a")).import_car(car(root, pairs))


def test_a_directory_that_repeats_itself_without_end(make: Make) -> None:
    """2^60 paths lead to one file; its blobs are few."""
    pairs: Pairs = {}
    cid = raw(pairs, b"x")
    for _ in range(60):
        cid = directory(pairs, [("a", cid), ("b", cid)])
    stack = make(store("a"))
    (receipt,) = stack.import_car(car(cid, pairs))
    assert receipt.size == 2**60
    stack.remove(cid)  # so that the size must be counted anew
    assert stack.stat(cid).size == 2**60
    assert len(list(stack.verify(cid))) == 61


def shard(pairs: Pairs, links: Iterable[tuple[bytes, Cid]], fanout: int = 8) -> Cid:
    links = list(links)
    field = sum(1 << int(name[:1], 16) for name, _ in links)
    data = b"\x08\x05\x12\x01" + bytes((field,)) + b"\x28" + encode_varint(HAMT_HASH) + b"\x30\x08"
    block = encode_node([Link(cid, name, 1) for name, cid in links], data)
    cid = Cid.of(block, DAG_PB)
    pairs[cid] = block
    return cid


def test_shards_that_repeat_themselves_without_end(make: Make) -> None:
    """Empty shards have no names, so that nothing but the repetition itself gives them away."""
    pairs: Pairs = {}
    cid = shard(pairs, [])
    for _ in range(40):
        cid = shard(pairs, [(b"%d" % place, cid) for place in range(8)])
    stack = make(store("a"))
    (receipt,) = stack.import_car(car(cid, pairs))
    assert receipt.size == 0
    with pytest.raises(MalformedContent, match="stands twice"):
        list(stack.ls(cid))


def nested(pairs: Pairs, levels: int) -> Cid:
    cid = raw(pairs, b"deep")
    for _ in range(levels):
        cid = directory(pairs, [("d", cid)])
    return cid


@pytest.mark.parametrize("kind", ["bytes", "dag"])
def test_directories_nest_up_to_the_limit_and_no_deeper(make: Make, tmp_path: Path, kind: str) -> None:
    pairs: Pairs = {}
    root = nested(pairs, MAX_PATH_DEPTH)
    stack = make(store("a") if kind == "bytes" else dag("d", DagMedium()))
    (receipt,) = stack.import_car(car(root, pairs))
    assert receipt.size == 4
    stack.remove(root)
    assert stack.stat(root).size == 4
    assert stack.save(root, tmp_path / "out").files == 1
    kept = stack.put_dir(tmp_path / "out")
    assert stack.export_car(kept.cid, io.BytesIO())
    deeper = nested(pairs, MAX_PATH_DEPTH + 2)
    with pytest.raises(MalformedContent, match="256"):
        stack.import_car(car(deeper, pairs))


def test_what_a_store_holds_too_deep_is_refused_by_name(make: Make, tmp_path: Path) -> None:
    """Not put by us: a walk over it must not run out of the interpreter's stack."""
    pairs: Pairs = {}
    root = nested(pairs, 3 * MAX_PATH_DEPTH)
    stack = make(dag("d", DagMedium(blocks=pairs)))
    for walk in (
        lambda: stack.save(root, tmp_path / "out"),
        lambda: stack.stat(root),
        lambda: stack.export_car(root, io.BytesIO()),
    ):
        with pytest.raises(MalformedContent, match="256"):
            walk()


def test_a_local_directory_too_deep_to_be_given_back_is_not_taken(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "top"
    folder.joinpath(*"d" * (MAX_PATH_DEPTH + 1)).mkdir(parents=True)
    stack = make(store("a"))
    with pytest.raises(UnsupportedContent, match="nested deeper"):
        stack.put_dir(folder)
    assert stack.put_dir(folder / "d").cid
