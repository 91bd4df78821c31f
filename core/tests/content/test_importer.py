"""Files to DAGs: against a naive importer, in any pieces, in threads, with sources that misbehave."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.content import (
    DAG_PB,
    PROFILES,
    RAW,
    Cid,
    FileDag,
    Link,
    Profile,
    encode_node,
    file_reader,
    import_file,
    import_stream,
    parse_node,
    proves_leaf,
)
from ziggurat.content.varint import encode_varint
from ziggurat.errors import ContentMismatch

V1, V0 = PROFILES["unixfs-v1-2025"], PROFILES["unixfs-v0-2015"]

profiles = st.builds(
    lambda version, hash_name, **knobs: Profile(
        cid_version=version, hash_name="sha2-256" if version == 0 else hash_name, **knobs
    ),
    version=st.sampled_from([0, 1]),
    hash_name=st.sampled_from(["sha2-256", "sha2-512", "blake2b-256"]),
    chunk_size=st.integers(1, 40),
    raw_leaves=st.booleans(),
    max_links=st.integers(2, 5),
)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def naive(data: bytes, profile: Profile) -> tuple[Cid, int, dict[Cid, bytes]]:
    """The layout in its plainest form: a list of each level, cut into groups until one node is left."""
    inner: dict[Cid, bytes] = {}
    level = []
    for at in range(0, len(data) or 1, profile.chunk_size):
        piece = data[at : at + profile.chunk_size]
        if profile.raw_leaves:
            block, codec, version = piece, RAW, 1
        else:
            size = b"\x18" + encode_varint(len(piece))
            body = b"\x08\x02" + (b"\x12" + encode_varint(len(piece)) + piece if piece else b"") + size
            block, codec, version = encode_node((), body), DAG_PB, profile.cid_version
        level.append((Cid.of(block, codec, profile.hash_name, version), len(block), len(piece)))
    while len(level) > 1:
        above = []
        for at in range(0, len(level), profile.max_links):
            group = level[at : at + profile.max_links]
            sizes = b"".join(b"\x20" + encode_varint(size) for _, _, size in group)
            total = sum(size for _, _, size in group)
            block = encode_node(
                (Link(cid, b"", tsize) for cid, tsize, _ in group),
                b"\x08\x02\x18" + encode_varint(total) + sizes,
            )
            cid = Cid.of(block, DAG_PB, profile.hash_name, profile.cid_version)
            inner[cid] = block
            above.append((cid, len(block) + sum(tsize for _, tsize, _ in group), total))
        level = above
    return level[0][0], level[0][1], inner


def check(dag: FileDag, data: bytes, profile: Profile) -> None:
    root, tsize, inner = naive(data, profile)
    assert (dag.root, dag.size, dag.tsize) == (root, len(data), tsize)
    assert dag.root.bytes == root.bytes
    assert dag.nodes == inner
    if dag.nodes:
        assert next(iter(dag.nodes)) == root
    at = 0
    for leaf in dag.leaves():
        assert leaf.offset == at
        assert proves_leaf(leaf.cid, data[at : at + leaf.size])
        at += leaf.size
    assert at == len(data)


@settings(max_examples=150)
@given(st.binary(max_size=1500), profiles, st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_against_a_naive_importer(data: bytes, profile: Profile, cuts: list[int], constant: bool) -> None:
    pieces, at = [], 0
    for cut in [*cuts, len(data)]:
        piece = data[at : at + cut]
        pieces.append(piece if constant else bytearray(piece))
        at += cut
    done: list[int] = []
    check(import_stream(pieces, profile, progress=done.append), data, profile)
    assert sum(done) == len(data)
    done.clear()
    check(import_file(lambda o, n: data[o : o + n], len(data), profile, progress=done.append), data, profile)
    assert sum(done) == len(data)


@pytest.mark.parametrize("links", [2, 3, 5])
@pytest.mark.parametrize("raw", [True, False])
def test_every_leaf_count_around_full_trees(links: int, raw: bool, pool: ThreadPoolExecutor) -> None:
    profile = Profile(chunk_size=3, max_links=links, raw_leaves=raw)
    for leaves in range(40):
        for extra in (0, 1):
            data = os.urandom(3 * leaves + extra)
            check(import_stream([data], profile, pool=pool), data, profile)


def test_equal_leaves_and_equal_nodes(pool: ThreadPoolExecutor) -> None:
    profile = Profile(chunk_size=4, max_links=2)
    data = bytes(4 * 64)
    dag = import_stream([data], profile, pool=pool)
    check(dag, data, profile)
    assert len(dag.nodes) == 6
    assert len(list(dag.leaves())) == 64


def test_threads_and_reused_buffers_give_the_same_dag(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    data = os.urandom(9_000_001)
    path = tmp_path / "file"
    path.write_bytes(data)

    def reused() -> Iterator[memoryview]:
        buffer = bytearray(70_001)
        for at in range(0, len(data), len(buffer)):
            piece = data[at : at + len(buffer)]
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]

    for profile in (V1, V0, Profile(chunk_size=1000)):
        expected = naive(data, profile)[0]
        assert import_stream(reused(), profile, pool=pool).root == expected
        assert import_stream([data], profile, pool=pool).root == expected
        with path.open("rb") as file:
            read = file_reader(file.fileno())
            assert import_file(read, len(data), profile, pool=pool).root == expected
            assert import_file(read, len(data), profile).root == expected


def test_one_leaf_and_nothing() -> None:
    for profile in (V1, V0):
        for data in (b"", b"x", bytes(profile.chunk_size)):
            for dag in (
                import_stream([data], profile),
                import_stream(iter(()), profile) if not data else import_stream([b"", data, b""], profile),
                import_file(lambda o, n, data=data: data[o : o + n], len(data), profile),  # type: ignore[misc]  # default argument binds the loop's value
            ):
                assert dag.nodes == {}
                assert [(leaf.offset, leaf.size, leaf.cid) for leaf in dag.leaves()] == [
                    (0, len(data), dag.root)
                ]
                assert proves_leaf(dag.root, data)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
def test_a_source_that_changes_is_noticed(pooled: bool, change: str, pool: ThreadPoolExecutor) -> None:
    def read(offset: int, size: int) -> bytes:
        if offset < 5_000_000:
            return bytes(size)
        return {"shorter": bytes(size - 1), "longer": bytes(size + 1), "gone": b""}[change]

    with pytest.raises(ContentMismatch, match="changed while it was read"):
        import_file(read, 20_000_000, V1, pool=pool if pooled else None)


class _BrokenError(Exception):
    pass


def test_after_a_failure_nothing_reads_the_source_any_more(pool: ThreadPoolExecutor) -> None:
    closed = threading.Event()
    late: list[int] = []

    def read(offset: int, size: int) -> bytes:
        if closed.is_set():
            late.append(offset)
        if offset == 3 << 20:
            raise _BrokenError
        return bytes(size)

    for _ in range(20):
        closed.clear()
        with pytest.raises(_BrokenError):
            import_file(read, 64 << 20, V1, pool=pool)
        closed.set()
    pool.submit(lambda: None).result()
    assert not late


def test_what_the_stream_raises_passes(pool: ThreadPoolExecutor) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield bytes(1 << 20)
        raise _BrokenError

    for threads in (pool, None):
        with pytest.raises(_BrokenError):
            import_stream(chunks(), V1, pool=threads)


def test_memory_is_bounded_whatever_the_size(pool: ThreadPoolExecutor) -> None:
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        dag = import_stream((bytearray(piece) for _ in range(160)), V1, pool=pool)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dag.size == 160 << 20
    assert peak < 40 << 20


def test_tiny_pieces_cost_linear_time(pool: ThreadPoolExecutor) -> None:
    data = os.urandom(300_000)
    dag = import_stream((data[at : at + 1] for at in range(len(data))), V1, pool=pool)
    assert dag.root == Cid.of(data)


def test_sizes_in_the_root_are_the_files(pool: ThreadPoolExecutor) -> None:
    data = os.urandom(3 << 20)
    dag = import_stream([data], V1, pool=pool)
    node = parse_node(dag.nodes[dag.root])
    assert node.size == len(data)
    assert sum(node.block_sizes) == len(data)
    assert dag.tsize == len(data) + len(dag.nodes[dag.root])
