"""CARs that are cut, changed or contradict themselves; and what is adopted and copied of a DAG."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, dag, store

from ziggurat import Cid
from ziggurat.content import RAW
from ziggurat.content.car import car_header, write_car
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.errors import (
    BlobNotFound,
    MalformedContent,
    NotAFile,
    StoreUnavailable,
    UnsupportedContent,
    ZigguratError,
)

from .foreign import DATA, PROFILES, Make, Tree, exported, foreign


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
