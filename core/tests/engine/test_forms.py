"""Bytes form, dag form and CARs: the same blobs, whole and byte-identical, in every direction."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.support.dag_backend import DagMedium, backend
from tests.support.rigged import Rig, cache, dag, store

from ziggurat import Cid, Store
from ziggurat.backend import ByteRange
from ziggurat.content import DAG_PB, RAW, Profile, read_car
from ziggurat.content.car import car_header, write_car
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.leaves import leaf_envelope
from ziggurat.content.unixfs import inner_data
from ziggurat.content.varint import encode_varint
from ziggurat.errors import (
    BlobNotFound,
    LastCopy,
    MalformedContent,
    NotAFile,
    RangeError,
    StoreUnavailable,
    UnsupportedContent,
    ZigguratError,
)

from .conftest import SMALL

Make = Callable[..., Store]
DATA = random.Random(9).randbytes(64 * 10 + 17)
PROFILES = {
    "v1": SMALL,
    "v0": Profile(chunk_size=64, max_links=3, cid_version=0, raw_leaves=False),
    "v1 dag-pb leaves": Profile(chunk_size=64, max_links=2, raw_leaves=False),
    "blake2b": Profile(chunk_size=64, max_links=4, hash_name="blake2b-256"),
    "one level": Profile(chunk_size=64),
}


# -- trees built by hand ----------------------------------------------------------------------------


class Tree:
    """Blocks of a foreign file."""

    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}

    def add(self, block: bytes, codec: int = DAG_PB) -> Cid:
        cid = Cid.of(block, codec)
        self.blocks[cid] = block
        return cid

    def raw(self, data: bytes) -> tuple[Cid, int]:
        return self.add(data, RAW), len(data)

    def leaf(self, data: bytes, encoding: int = 0) -> tuple[Cid, int]:
        head, tail = leaf_envelope(len(data), encoding)
        return self.add(head + data + tail), len(data)

    def odd(self, data: bytes) -> tuple[Cid, int]:
        """A leaf with a mode and a time, which no importer's encoding gives back."""
        message = b"\x08\x02\x12" + encode_varint(len(data)) + data + b"\x18" + encode_varint(len(data))
        message += b"\x38" + encode_varint(0o640) + b"\x42\x02\x08\x05"
        return self.add(b"\x0a" + encode_varint(len(message)) + message), len(data)

    def inlined(self, data: bytes) -> tuple[Cid, int]:
        return Cid.from_bytes(b"\x01\x55\x00" + encode_varint(len(data)) + data), len(data)

    def node(self, *children: tuple[Cid, int]) -> tuple[Cid, int]:
        size = sum(part for _, part in children)
        sizes = b"".join(b"\x20" + encode_varint(part) for _, part in children)
        links = [Link(cid, b"", part + 3) for cid, part in children]  # a Tsize that lies
        return self.add(encode_node(links, inner_data(size, sizes))), size

    def car(self, root: Cid) -> bytes:
        return b"".join(write_car([root], self.blocks.items()))


def foreign(name: str) -> tuple[Tree, Cid, bytes]:
    """A tree that no profile gives, its root and its plain bytes."""
    tree, part = Tree(), [bytes([65 + i]) * (10 + i) for i in range(8)]
    if name == "trickle":
        # Leaves and nodes side by side, deeper to the right.
        right = tree.node(tree.leaf(part[4], 1), tree.node(tree.leaf(part[5], 1), tree.leaf(part[6], 1)))
        top = tree.node(
            tree.leaf(part[0], 1),
            tree.leaf(part[1], 1),
            tree.node(tree.leaf(part[2], 1), tree.leaf(part[3], 1)),
            right,
        )
        data = b"".join(part[:7])
    elif name == "every encoding":
        top = tree.node(*(tree.leaf(part[i % 8], i) for i in range(8)))
        data = b"".join(part)
    elif name == "odd leaves":
        top = tree.node(
            tree.odd(part[0]), tree.raw(part[1]), tree.node(tree.odd(part[2]), tree.leaf(part[3]))
        )
        data = b"".join(part[:4])
    elif name == "identity leaves":
        top = tree.node(
            tree.inlined(part[0]),
            tree.raw(part[1]),
            tree.inlined(part[2]),
            tree.node(tree.inlined(part[3]), tree.raw(part[4])),
        )
        data = b"".join(part[:5])
    elif name == "empty leaves":
        top = tree.node(
            tree.raw(b""),
            tree.raw(part[0]),
            tree.node(tree.leaf(b""), tree.raw(b"")),
            tree.raw(part[1]),
            tree.leaf(b"", 2),
        )
        data = part[0] + part[1]
    elif name == "repeats":
        twin = tree.node(tree.raw(part[0]), tree.raw(part[1]), tree.raw(part[0]))
        top = tree.node(twin, tree.raw(part[0]), twin, tree.node(twin, tree.raw(part[1])))
        one = part[0] + part[1] + part[0]
        data = one + part[0] + one + one + part[1]
    elif name == "one odd leaf":
        top, data = tree.odd(part[0]), part[0]
    elif name == "one child":
        top, data = tree.node(tree.node(tree.node(tree.raw(part[0])))), part[0]
    else:  # nothing at all
        top, data = tree.node(), b""
    return tree, top[0], data


FOREIGN = [
    "trickle",
    "every encoding",
    "odd leaves",
    "identity leaves",
    "empty leaves",
    "repeats",
    "one odd leaf",
    "one child",
    "empty",
]


def exported(stack: Store, cid: Cid) -> tuple[tuple[Cid, ...], dict[Cid, bytes]]:
    target = io.BytesIO()
    written = stack.export_car(cid, target)
    assert written == len(target.getvalue())
    car = read_car((target.getvalue(),))
    pairs = list(car)
    assert len(dict(pairs)) == len(pairs), "a block stands twice"
    assert pairs[0][0] == cid
    return car.roots, dict(pairs)


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


# -- CARs -------------------------------------------------------------------------------------------


def version_2(car: bytes, index: bytes = b"") -> bytes:
    pragma = bytes.fromhex("0aa16776657273696f6e02")
    offset = len(pragma) + 40 + 5
    fields = bytes(16) + offset.to_bytes(8, "little") + len(car).to_bytes(8, "little")
    fields += ((offset + len(car)) if index else 0).to_bytes(8, "little")
    return pragma + fields + bytes(5) + car + index


def test_import_of_version_2_with_and_without_an_index(make: Make) -> None:
    tree, root, data = foreign("trickle")
    for index in (b"", b"an index that nobody reads"):
        stack = make(store("a"))
        assert stack.import_car([version_2(tree.car(root), index)])[0].cid == root
        assert stack.get(root) == data


def test_a_car_cut_anywhere_imports_nothing(make: Make) -> None:
    tree, root, _ = foreign("odd leaves")
    whole = tree.car(root)
    for version in (whole, version_2(whole)):
        rig = Rig()
        stack = make(store("a", rig))
        for at in range(len(version)):
            with pytest.raises(MalformedContent):
                stack.import_car([version[:at]])
        assert not rig.held
        assert not list(stack.roots())
        assert stack.import_car([version])


def test_a_car_with_any_byte_changed_imports_what_it_says_or_nothing(make: Make) -> None:
    tree, root, _ = foreign("odd leaves")
    whole = tree.car(root)
    rig = Rig()
    stack = make(store("a", rig))
    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 0x21]) + whole[at + 1 :]
        try:
            receipts = stack.import_car([changed])
        except ZigguratError:
            assert not rig.held
        else:
            pytest.fail(f"byte {at} may be changed unnoticed: {receipts}")
    noise = random.Random(4)
    for _ in range(200):
        with pytest.raises(ZigguratError):
            stack.import_car([noise.randbytes(noise.randrange(200))])
        with pytest.raises(ZigguratError):
            stack.import_car([car_header([root]) + noise.randbytes(noise.randrange(1, 100))])
    assert not rig.held
    assert not list(stack.roots())


def test_a_car_without_a_root_or_with_blocks_missing(make: Make) -> None:
    tree, root, _ = foreign("trickle")
    rig = Rig()
    stack = make(store("a", rig))
    with pytest.raises(MalformedContent, match="no root"):
        stack.import_car([b"".join(write_car([], tree.blocks.items()))])
    for lost in tree.blocks:
        pairs = [(cid, block) for cid, block in tree.blocks.items() if cid != lost]
        with pytest.raises(MalformedContent, match="lacks the block"):
            stack.import_car([b"".join(write_car([root], pairs))])
        assert not rig.held
    assert not list(stack.roots())


def test_a_second_root_that_is_bad_keeps_the_first_out(make: Make) -> None:
    tree, root, _ = foreign("trickle")
    rig = Rig()
    stack = make(store("a", rig))
    other = Cid.of(b"\xa0", 0x78)
    pairs = [*tree.blocks.items(), (other, b"\xa0")]
    with pytest.raises(UnsupportedContent, match="0x78"):
        stack.import_car([b"".join(write_car([root, other], pairs))])
    assert not rig.held
    assert not list(stack.roots())


def test_a_bomb_of_empty_nodes_ends(make: Make) -> None:
    """Sixty levels of twins over an empty leaf: a walk that visits every place would never end."""
    tree = Tree()
    child = tree.leaf(b"")
    for _ in range(60):
        child = tree.node(child, child)
    root = tree.node(child, tree.raw(b"end"))[0]
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig), dag("d", medium))
    stack.import_car([tree.car(root)])
    assert stack.get(root) == b"end"
    stack.copy(root, "d")
    assert make(dag("d", medium)).get(root) == b"end"
    assert exported(stack, root) == ((root,), tree.blocks)


def _pour(pieces: Iterable[bytes | bytearray | memoryview], into: bytearray) -> None:
    for piece in pieces:
        into += piece


def test_trees_that_contradict_themselves_fail_at_their_place(make: Make) -> None:
    tree = Tree()
    wrong = (tree.raw(b"ten bytes.")[0], 9)
    for middle in (wrong, (tree.node(tree.raw(b"abc"))[0], 4), (tree.add(b"\x0a\x02\x08\x01"), 5)):
        root = tree.node(tree.raw(b"first"), tree.raw(b"second"), middle, tree.raw(b"last"))[0]
        medium = DagMedium(blocks=dict(tree.blocks))
        stack = make(dag("d", medium))
        got = bytearray()
        with pytest.raises((MalformedContent, NotAFile)):
            _pour(stack.stream(root), got)
        assert bytes(got) == b"firstsecond"
        with pytest.raises((MalformedContent, NotAFile)):
            stack.get(root)
        assert stack.get(root, 0, 11) == b"firstsecond"


def test_depth_is_limited(make: Make) -> None:
    tree = Tree()
    child = tree.raw(b"deep")
    for _ in range(200):
        child = tree.node(child)
    stack = make(dag("d", DagMedium(blocks=dict(tree.blocks))))
    with pytest.raises(MalformedContent, match="deeper than"):
        stack.get(child[0])


def test_an_inner_node_with_data_is_refused_by_name(make: Make) -> None:
    tree = Tree()
    leaf = tree.raw(b"leaf")
    message = b"\x08\x02\x12\x04data\x18\x08\x20\x04"
    root = tree.add(encode_node([Link(leaf[0], b"", 4)], message))
    stack = make(dag("d", DagMedium(blocks=dict(tree.blocks))))
    with pytest.raises(UnsupportedContent, match="both links and data"):
        stack.get(root)


def test_identity_cids_never_touch_storage(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    inlined = Cid.from_bytes(b"\x01\x55\x00\x05hello")
    assert stack.get(inlined) == b"hello"
    assert stack.get(str(inlined), 1, 3) == b"ell"
    assert b"".join(stack.stream(inlined)) == b"hello"
    assert stack.has(inlined)
    assert not rig.asked


def test_versions_of_one_cid_are_one_blob(make: Make) -> None:
    stack = make(store("a"), profile=PROFILES["v0"])
    cid = stack.put(DATA).cid
    assert cid.version == 0
    v1 = Cid.parse(str(cid.key))
    assert v1.version == 1
    assert stack.get(str(v1)) == stack.get(cid) == DATA
    assert stack.put(DATA, expect=str(v1)).cid == cid
    assert len(list(stack.roots())) == 1


def test_unavailable_is_not_absent_in_the_dag_form(make: Make) -> None:
    medium = DagMedium()
    stack = make(dag("d", medium))
    cid = stack.put(DATA).cid
    medium.down = True
    with pytest.raises(StoreUnavailable):
        stack.get(cid)
    with pytest.raises(StoreUnavailable):
        stack.has(cid)


@pytest.mark.parametrize("form", ["a", "d"])
def test_only_what_is_there_whole_is_adopted(make: Make, form: str) -> None:
    rig, medium = Rig(), DagMedium()
    writer = make(store("a", rig), dag("d", medium), min_copies=2)
    cid = writer.put(DATA).cid
    tier = (lambda: store("a", rig)) if form == "a" else (lambda: dag("d", medium))
    stack = make(tier())
    if form == "a":
        rig.flip(cid.key, 300)
    else:
        leaf = medium.roots[cid][0][-1]
        kept = medium.blocks.pop(leaf)
    with pytest.raises((BlobNotFound, StoreUnavailable)):
        stack.adopt(cid, form)
    assert not list(stack.roots())
    if form == "a":
        rig.flip(cid.key, 300)
    else:
        medium.blocks[leaf] = kept
    assert stack.adopt(cid, form).copies == (form,)
    assert [root.cid for root in stack.roots()] == [cid]
    with pytest.raises(BlobNotFound):
        stack.adopt(Cid.of(b"nowhere", RAW), form)


def test_a_copy_that_fails_half_way_leaves_nothing(make: Make) -> None:
    rig, medium, back = Rig(), DagMedium(), Rig()
    stack = make(store("a", rig), dag("d", medium), store("back", back))
    cid = stack.put(DATA).cid
    rig.flip(cid.key, 500)
    for tier in ("d", "back"):
        with pytest.raises(ZigguratError):
            stack.copy(cid, tier)
    assert not medium.blocks
    assert not back.held
    rig.flip(cid.key, 500)
    assert stack.copy(cid, "back").copies == ("back",)
