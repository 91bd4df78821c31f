"""Directories, HAMT shards and symlinks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.content import (
    DAG_PB,
    PROFILES,
    Cid,
    DirectoryDag,
    DirEntry,
    Link,
    Node,
    Profile,
    build_directory,
    build_symlink,
    directory_entries,
    encode_node,
    hamt_entries,
    hamt_path,
    parse_node,
)
from ziggurat.content import hamt as hamt_module
from ziggurat.errors import BlobTooLarge, MalformedContent, UnsupportedContent

V1, V0 = PROFILES["unixfs-v1-2025"], PROFILES["unixfs-v0-2015"]
LEAF = Cid.of(b"x")
BAD_NAMES = ["", ".", "..", "a/b", "/", "a\0b", "\udc80"]

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))


def entry(name: str) -> DirEntry:
    return DirEntry(name, Cid.of(name.encode("utf-8", "replace")), 3, 2)


def read_all(dag: DirectoryDag) -> dict[str, Link]:
    """Every entry below the root; each node is reached once."""
    found: dict[str, Link] = {}
    reached = []
    pending = [dag.root]
    while pending:
        cid = pending.pop()
        reached.append(cid)
        for name, link in directory_entries(parse_node(dag.nodes[cid])):
            if name is None:
                pending.append(link.cid)
            else:
                assert name not in found
                found[name] = link
    assert set(reached) == set(dag.nodes)
    return found


def look_up(dag: DirectoryDag, name: str) -> Link | None:
    """Follow the places of a name's hash."""
    node = parse_node(dag.nodes[dag.root])
    for prefix in hamt_path(name, node.fanout):
        here = {link.name[: len(prefix)].decode(): (found, link) for found, link in hamt_entries(node)}
        if prefix not in here:
            return None
        found, link = here[prefix]
        if found is not None:
            return link if found == name else None
        node = parse_node(dag.nodes[link.cid])
    return None


@given(st.lists(names, unique=True, max_size=60), st.sampled_from([8, 16, 256, 1024]), st.booleans())
def test_round_trip(all_names: list[str], fanout: int, sharded: bool) -> None:
    profile = Profile(hamt_threshold=1 if sharded else 1 << 20, hamt_fanout=fanout)
    dag = build_directory(map(entry, all_names), profile)
    assert next(iter(dag.nodes)) == dag.root
    for cid, block in dag.nodes.items():
        assert cid.matches(block)
    found = read_all(dag)
    assert {name: link.cid for name, link in found.items()} == {name: entry(name).cid for name in all_names}
    assert dag.size == 2 * len(all_names)
    assert dag.tsize == sum(map(len, dag.nodes.values())) + 3 * len(all_names)
    again = build_directory(map(entry, reversed(all_names)), profile)
    assert list(again.nodes.items()) == list(dag.nodes.items())
    root = parse_node(dag.nodes[dag.root])
    assert root.type == ("hamt" if sharded and dag.nodes and all_names else root.type)
    if root.type == "hamt":
        for name in all_names:
            assert look_up(dag, name) == Link(entry(name).cid, look_up(dag, name).name, 3)  # type: ignore[union-attr]  # None fails the test
        assert look_up(dag, "not in any of them" * 3) is None


@settings(max_examples=30)
@given(st.lists(names, unique=True, min_size=1, max_size=30), st.integers(-3, 3))
def test_the_threshold_is_exact(all_names: list[str], delta: int) -> None:
    entries = [entry(name) for name in all_names]
    flat = build_directory(entries, Profile(hamt_size_estimation="disabled", hamt_threshold=1))
    by_block = len(flat.nodes[flat.root])
    by_links = sum(len(e.name.encode()) + len(e.cid.bytes) for e in entries)
    for estimation, size in (("block", by_block), ("links", by_links)):
        profile = Profile(hamt_size_estimation=estimation, hamt_threshold=size + delta)  # type: ignore[arg-type]  # one of the literals
        dag = build_directory(entries, profile)
        kind = parse_node(dag.nodes[dag.root]).type
        assert kind == ("hamt" if delta < 0 else "directory")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused_when_building(name: str) -> None:
    for threshold in (1, 1 << 20):
        with pytest.raises(MalformedContent, match="name"):
            build_directory([DirEntry(name, LEAF, 1, 1)], Profile(hamt_threshold=threshold))


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"\xff", b"../../etc"])
def test_bad_names_are_refused_when_reading(name: bytes) -> None:
    node = parse_node(encode_node([Link(LEAF, name, 1)], b"\x08\x01"))
    with pytest.raises(MalformedContent, match="name"):
        list(directory_entries(node))
    if name:
        shard = parse_node(
            encode_node([Link(LEAF, b"01" + name, 1)], b"\x08\x05\x12\x01\x02\x28\x22\x30\x80\x02")
        )
        with pytest.raises(MalformedContent, match="name"):
            list(directory_entries(shard))


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(MalformedContent, match="twice"):
        build_directory([entry("a"), entry("b"), entry("a")], V1)


@pytest.mark.parametrize("prefix", [b"02", b"1", b"", b"0x", b"01"])
def test_a_shard_whose_names_do_not_fit_its_bits(prefix: bytes) -> None:
    def read(link_name: bytes) -> Node:
        return parse_node(
            encode_node([Link(LEAF, link_name, 1)], b"\x08\x05\x12\x01\x04\x28\x22\x30\x80\x02")
        )

    assert [name for name, _ in hamt_entries(read(b"02name"))] == ["name"]
    assert [name for name, _ in hamt_entries(read(b"02"))] == [None]
    if prefix != b"02":
        with pytest.raises(MalformedContent, match="bit field"):
            list(hamt_entries(read(prefix + b"name")))


def test_what_is_not_a_directory() -> None:
    link = parse_node(build_symlink("a", V1).nodes[build_symlink("a", V1).root])
    for read in (directory_entries, hamt_entries):
        with pytest.raises(MalformedContent):
            list(read(link))


def test_a_flat_directory_above_a_block_is_refused() -> None:
    entries = [DirEntry(f"{n:05}" * 8, LEAF, 1, 1) for n in range(26_000)]
    with pytest.raises(BlobTooLarge, match="HAMT threshold"):
        build_directory(entries, Profile(hamt_size_estimation="disabled"))
    dag = build_directory(entries, V1)
    assert len(read_all(dag)) == len(entries)


def test_names_whose_hashes_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamt_module, "_hash_name", lambda name: 7)
    with pytest.raises(UnsupportedContent, match="same hash"):
        build_directory([entry("a"), entry("b")], Profile(hamt_threshold=1, hamt_fanout=1024))


@given(
    st.text(min_size=1, max_size=50)
    | st.binary(min_size=1, max_size=50).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
def test_symlinks(target: str) -> None:
    try:
        raw = target.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        with pytest.raises(MalformedContent):
            build_symlink(target, V1)
        return
    dag = build_symlink(target, V0)
    node = parse_node(dag.nodes[dag.root])
    assert node.type == "symlink"
    assert node.data == raw
    assert (dag.size, dag.tsize) == (0, len(dag.nodes[dag.root]))
    assert dag.root.version == 0
    assert dag.root.codec == DAG_PB


def test_an_empty_symlink_is_refused() -> None:
    with pytest.raises(MalformedContent):
        build_symlink("", V1)


def test_error_messages_are_one_line() -> None:
    with pytest.raises(MalformedContent) as caught:
        build_directory([DirEntry("a\n/" * 100, LEAF, 1, 1)], V1)
    assert "\n" not in str(caught.value)
    assert len(json.dumps(str(caught.value))) < 1000
