"""dag-cbor and dag-json DAGs as blobs: kept whole in both forms, block by block and as one closure."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from collections.abc import Callable

import pytest
from attrs import define, field
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, cache, dag, source, store

from ziggurat import Cid, Store
from ziggurat.content import DAG_CBOR, DAG_JSON, DAG_PB, RAW, Value, dagcbor, dagjson, read_car, write_car
from ziggurat.content.assemble import assemble
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.unixfs import DIRECTORY_DATA, inner_data
from ziggurat.errors import (
    BlobNotFound,
    BlobPinned,
    InvalidCid,
    LastCopy,
    MalformedContent,
    NotAFile,
    StoreUnavailable,
    UnsupportedContent,
)

Make = Callable[..., Store]


@define
class Blocks:
    """A DAG under construction."""

    pairs: dict[Cid, bytes] = field(factory=dict)

    def add(self, block: bytes, codec: int, hash_name: str = "sha2-256") -> Cid:
        cid = Cid.of(block, codec, hash_name)
        if cid.identity is None:
            self.pairs[cid] = block
        return cid

    def raw(self, data: bytes) -> Cid:
        return self.add(data, RAW)

    def cbor(self, value: Value, hash_name: str = "sha2-256") -> Cid:
        return self.add(dagcbor.encode(value), DAG_CBOR, hash_name)

    def json(self, value: Value) -> Cid:
        return self.add(dagjson.encode(value), DAG_JSON)

    def file(self, *parts: bytes) -> Cid:
        sizes = b"".join(b"\x20" + bytes([len(part)]) for part in parts)
        links = [Link(self.raw(part), b"", len(part)) for part in parts]
        return self.add(encode_node(links, inner_data(sum(map(len, parts)), sizes)), DAG_PB)

    def folder(self, **children: Cid) -> Cid:
        links = [Link(cid, name.encode(), 1) for name, cid in sorted(children.items())]
        return self.add(encode_node(links, DIRECTORY_DATA), DAG_PB)

    def car(self, *roots: Cid) -> io.BytesIO:
        return io.BytesIO(b"".join(write_car(roots, self.pairs.items())))


@define
class Sample:
    """Data over data, a file, a folder that leads back to data, and an inlined block with a link."""

    blocks: Blocks
    root: Cid
    parts: dict[str, Cid]


@pytest.fixture
def sample() -> Sample:
    blocks = Blocks()
    leaf = blocks.raw(b"a leaf that is linked twice")
    file = blocks.file(b"one", b"two", b"three")
    inner = blocks.json({"leaf": leaf, "file": file})
    inlined = blocks.cbor({"l": blocks.raw(b"linked from an inlined block")}, "identity")
    folder = blocks.folder(data=inner, file=file, inlined=inlined)
    root = blocks.cbor([leaf, {"inner": inner, "folder": folder}, inlined])
    return Sample(blocks, root, {"leaf": leaf, "file": file, "inner": inner, "folder": folder})


def blobs(sample: Sample) -> set[Cid]:
    """Those that have a key of their own in a bytes store."""
    leaves = {Cid.of(part) for part in (b"one", b"two", b"three")}
    return set(sample.blocks.pairs) - leaves


def test_a_bytes_store_keeps_each_block_under_its_own_key(make: Make, sample: Sample) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    (receipt,) = stack.import_car(sample.blocks.car(sample.root))
    block = sample.blocks.pairs[sample.root]
    assert (receipt.cid, receipt.type, receipt.size) == (sample.root, "block", len(block))
    for cid in blobs(sample):
        if cid.codec != DAG_PB:
            assert rig.held[cid.key] == sample.blocks.pairs[cid]
            assert stack.get(cid) == sample.blocks.pairs[cid]
            assert stack.has(cid)
    assert stack.get(sample.parts["file"]) == b"onetwothree"
    assert stack.get(f"{sample.parts['folder']}/data") == sample.blocks.pairs[sample.parts["inner"]]
    assert {found.cid for found in stack.verify(sample.root)} == blobs(sample)
    assert all(found.ok for found in stack.verify(sample.root))
    assert sum(found.blobs for found in stack.gc()) == 0
    assert stack.remove(sample.root).blobs == len(blobs(sample))
    assert sum(found.blobs for found in stack.gc()) == len(blobs(sample))
    assert not rig.held


def test_a_dag_store_receives_the_whole_closure_in_one_put(make: Make, sample: Sample) -> None:
    medium = DagMedium()
    stack = make(dag("d", medium))
    stack.import_car(sample.blocks.car(sample.root))
    assert [key for op, key in medium.asked if op == "put"] == [sample.root.key]
    assert medium.blocks == sample.blocks.pairs
    for cid in blobs(sample):
        assert stack.has(cid)
        if cid.codec != DAG_PB:
            assert stack.get(cid) == sample.blocks.pairs[cid]
    assert stack.get(sample.parts["file"]) == b"onetwothree"
    assert stack.stat(sample.parts["inner"]).copies[0].under == sample.root
    (finding,) = stack.verify(sample.root)
    assert finding.ok
    stack.pin(sample.root)
    with pytest.raises(BlobPinned):
        stack.evict(sample.root, "d")
    stack.unpin(sample.root)
    with pytest.raises(LastCopy):
        stack.evict(sample.root, "d")
    with pytest.raises(LastCopy, match="as part of"):
        stack.evict(sample.parts["inner"], "d")
    stack.remove(sample.root)
    assert [found.blobs for found in stack.gc()] == [1]
    assert not medium.blocks


@pytest.mark.parametrize("lost", ["leaf", "file", "inner", "folder"])
def test_what_is_lost_beneath_is_found(make: Make, sample: Sample, lost: str) -> None:
    medium, rig = DagMedium(), Rig()
    stack = make(dag("d", medium), store("a", rig), min_copies=2)
    stack.import_car(sample.blocks.car(sample.root))
    del medium.blocks[sample.parts[lost]]
    rig.held.pop(sample.parts[lost].nodes_key if lost == "folder" else sample.parts[lost].key)
    found = {(found.cid, found.tier): found for found in stack.verify(sample.root)}
    assert not found[sample.root, "d"].ok
    assert [cid for (cid, tier), one in found.items() if tier == "a" and not one.ok] == [sample.parts[lost]]
    if lost == "file":  # its nodes are on the one, its leaves on the other: that is all of it
        stack.export_car(sample.root, target := io.BytesIO())
        assert dict(read_car((target.getvalue(),))) == sample.blocks.pairs
        return
    with pytest.raises((BlobNotFound, StoreUnavailable)):
        stack.copy(sample.root, "d")


def test_a_wrong_byte_is_not_followed(make: Make, sample: Sample) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    stack.import_car(sample.blocks.car(sample.root))
    rig.flip(sample.root.key, -1)
    (wrong,) = [found for found in stack.verify(sample.root) if not found.ok]
    assert wrong.cid == sample.root
    with pytest.raises(StoreUnavailable):
        stack.export_car(sample.root, io.BytesIO())


def test_there_and_back_and_out(make: Make, sample: Sample) -> None:
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig), dag("d", medium))
    stack.import_car(sample.blocks.car(sample.root))
    stack.copy(sample.root, "d")
    assert medium.blocks == sample.blocks.pairs
    for cid in blobs(sample):
        stack.evict(cid, "a")
    assert not rig.held
    stack.copy(sample.root, "a")
    stack.evict(sample.root, "d")
    assert not medium.blocks
    target = io.BytesIO()
    stack.export_car(sample.root, target)
    exported = list(read_car((target.getvalue(),)))
    assert exported[0][0] == sample.root
    assert dict(exported) == sample.blocks.pairs
    assert len(exported) == len(sample.blocks.pairs)
    assert sum(found.blobs for found in stack.gc()) == 0


@pytest.mark.parametrize("kind", ["bytes", "dag"])
def test_what_a_tier_has_already_is_adopted_whole(make: Make, sample: Sample, kind: str) -> None:
    rig, medium = Rig(), DagMedium()
    first = make(store("t", rig) if kind == "bytes" else dag("t", medium))
    first.import_car(sample.blocks.car(sample.root))
    first.close()
    second = make(store("t", rig) if kind == "bytes" else dag("t", medium))
    assert second.adopt(sample.root, "t").size == len(sample.blocks.pairs[sample.root])
    assert {root.cid for root in second.roots()} == {sample.root}
    assert second.has(sample.parts["inner"])
    assert second.explain(sample.root).type == "block"
    (stats,) = second.stats().tiers
    assert stats.used == (sum(map(len, rig.held.values())) if kind == "bytes" else stats.used)
    assert stats.used
    if kind == "bytes":
        rig.held.pop(sample.parts["leaf"].key)
    else:
        del medium.blocks[sample.parts["leaf"]]
    third = make(store("t", rig) if kind == "bytes" else dag("t", medium))
    with pytest.raises((BlobNotFound, StoreUnavailable)):
        third.adopt(sample.root, "t")


def test_a_part_that_another_root_reaches_stays(make: Make, sample: Sample) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    other = sample.blocks.cbor({"also": sample.parts["inner"]})
    stack.import_car(sample.blocks.car(sample.root, other))
    stack.remove(sample.root)
    stack.gc()
    for name in ("inner", "leaf", "file"):
        assert stack.has(sample.parts[name]), name
    assert not stack.has(sample.root)
    assert not stack.has(sample.parts["folder"])
    assert all(found.ok for found in stack.verify(other))


def test_blocks_are_cached_and_evicted_like_others(make: Make, sample: Sample) -> None:
    rig, ram = Rig(), Rig()
    stack = make(cache("ram", ram), store("a", rig))
    stack.import_car(sample.blocks.car(sample.root))
    assert stack.get(sample.root) == stack.get(sample.root, 0) == stack.get(str(sample.root))
    stack._parts.filler.drain()
    assert sample.root.cache_key in ram.held
    assert stack.evict(sample.root, "ram").had
    assert sample.root.cache_key not in ram.held
    assert stack.get(sample.root, 3, 5) == sample.blocks.pairs[sample.root][3:8]
    assert b"".join(stack.stream(sample.root)) == sample.blocks.pairs[sample.root]


def test_a_source_gives_all_of_it(make: Make, sample: Sample) -> None:
    """A read-only tier in the bytes form that happens to have every blob."""
    far, near = Rig(), DagMedium()
    make(store("far", far)).import_car(sample.blocks.car(sample.root))
    stack = make(dag("near", near), source("away", far))
    stack.copy(sample.root, "near")
    assert near.blocks == sample.blocks.pairs
    assert {root.cid for root in stack.roots()} == {sample.root}


def test_a_codec_that_nobody_reads_is_refused_by_its_number(make: Make) -> None:
    blocks = Blocks()
    strange = blocks.add(b"tree 0\0", 0x78)
    root = blocks.cbor({"strange": strange})
    medium, rig = DagMedium(), Rig()
    stack = make(dag("d", medium), store("a", rig))
    for asked in (root, strange):
        with pytest.raises(UnsupportedContent, match="0x78"):
            stack.import_car(blocks.car(asked))
    rig.held[strange.key] = b"tree 0\0"
    with pytest.raises(UnsupportedContent, match="0x78"):
        stack.copy(strange, "d")
    assert not medium.blocks
    assert stack.get(strange) == b"tree 0\0"


def test_plain_cbor_and_json_have_no_links(make: Make) -> None:
    blocks = Blocks()
    plain = [blocks.add(dagcbor.encode([Cid.of(b"not followed")]), 0x51), blocks.add(b"[]", 0x0200)]
    root = blocks.cbor(list(plain))
    medium = DagMedium()
    stack = make(dag("d", medium))
    stack.import_car(blocks.car(root))
    assert medium.blocks == blocks.pairs
    assert [stack.get(cid) for cid in plain] == [blocks.pairs[cid] for cid in plain]


@pytest.mark.parametrize(
    ("block", "codec"), [(b"\xa1\x01\x02", DAG_CBOR), (b"\xff", DAG_CBOR), (b'{"/":"x"}', DAG_JSON)]
)
def test_a_block_that_is_no_data_is_refused(make: Make, block: bytes, codec: int) -> None:
    blocks = Blocks()
    root = blocks.add(block, codec)
    rig = Rig()
    stack = make(store("a", rig))
    with pytest.raises(MalformedContent):
        stack.import_car(blocks.car(root))
    assert not rig.held


def test_links_of_a_block_that_is_not_canonical_count(make: Make) -> None:
    blocks = Blocks()
    leaf = blocks.raw(b"leaf")
    loose = b"\x82\xf9\x3c\x00\xd8\x2a\x58\x25\x00" + leaf.bytes  # a float of 16 bits stands before the link
    root = blocks.add(loose, DAG_CBOR)
    medium = DagMedium()
    make(dag("d", medium)).import_car(blocks.car(root))
    assert medium.blocks == {root: loose, leaf: b"leaf"}


def test_data_in_a_file_is_refused_and_not_cut_off(make: Make) -> None:
    blocks = Blocks()
    data = blocks.cbor([blocks.raw(b"far")])
    link = Link(data, b"", len(blocks.pairs[data]))
    size = len(blocks.pairs[data])
    root = blocks.add(encode_node([link], inner_data(size, b"\x20" + bytes([size]))), DAG_PB)
    with pytest.raises(UnsupportedContent, match="neither raw nor dag-pb"):
        make(store("a")).import_car(blocks.car(root))


@pytest.mark.parametrize("kind", ["bytes", "dag"])
def test_a_long_chain_is_kept(make: Make, kind: str) -> None:
    blocks = Blocks()
    root = blocks.cbor({"number": 0})
    for number in range(1, 3000):
        root = blocks.cbor({"number": number, "before": root})
    rig, medium = Rig(), DagMedium()
    stack = make(store("t", rig) if kind == "bytes" else dag("t", medium))
    stack.import_car(blocks.car(root))
    assert len(rig.held if kind == "bytes" else medium.blocks) == 3000
    target = io.BytesIO()
    assert stack.export_car(root, target) == len(target.getvalue())
    stack.remove(root)
    assert sum(found.blobs for found in stack.gc()) == (3000 if kind == "bytes" else 1)


def test_a_lattice_is_walked_once(make: Make) -> None:
    """Sixty levels of twins: a walk that visits every path would never end."""
    blocks = Blocks()
    below = [blocks.raw(b"left"), blocks.raw(b"right")]
    for _ in range(60):
        below = [blocks.cbor([name, *below]) for name in ("l", "r")]
    root = blocks.cbor(list(below))
    medium = DagMedium()
    make(dag("d", medium)).import_car(blocks.car(root))
    assert medium.blocks == blocks.pairs


def test_large_blocks_are_read_again_and_not_held() -> None:
    big = 1 << 20
    blocks = Blocks()

    def data(number: int) -> bytes:
        return bytes([number]) * (big - 100)

    parts = [Cid.of(data(number)) for number in range(160)]
    folder = blocks.folder(**{f"n{number}": cid for number, cid in enumerate(parts[:80])})
    root = blocks.cbor([folder, *parts[80:]])
    numbers = {cid: number for number, cid in enumerate(parts)}
    reads = itertools.count()

    class Medium:
        def raw_block(self, want: object, root: Cid) -> bytes:
            next(reads)
            return data(numbers[root]) if root in numbers else blocks.pairs[root]

        def several(self, asked: list[tuple[object, Cid]]) -> list[bytes]:
            return [self.raw_block(*one) for one in asked]

        def known(self, root: Cid) -> None:
            return None

        def leaves(self, layout: object) -> object:
            raise AssertionError

    tracemalloc.start()
    try:
        dag = assemble(root, Medium()).dag()  # type: ignore[arg-type] # nothing but whole blocks is asked for
        assert dag.size is not None
        assert sum(len(piece) for piece in dag.car()) == dag.size > 160 * (big - 100)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
    assert next(reads) < 2 * 162


def test_data_is_no_directory(make: Make, sample: Sample) -> None:
    stack = make(store("a"))
    stack.import_car(sample.blocks.car(sample.root))
    with pytest.raises(NotAFile, match="block"):
        stack.get(f"{sample.root}/inner")
    (entry,) = stack.ls(sample.root)
    assert (entry.type, entry.size) == ("block", len(sample.blocks.pairs[sample.root]))
    listed = {entry.path: entry.type for entry in stack.ls(sample.parts["folder"])}
    assert listed == {"data": "block", "file": "file", "inlined": "block"}


@pytest.mark.parametrize("name", ["/ipns/k51abc", "ipns://docs.example.org/guide"])
def test_a_name_is_told_from_what_is_no_cid(make: Make, name: str) -> None:
    with pytest.raises(InvalidCid, match="resolve it"):
        make(store("a")).get(name)
