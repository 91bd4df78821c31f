"""What one request may cost: memory, time and reads, however odd the content and the backend."""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import cachetools
import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import PASS, Rig, cache, dag, patient, store

from ziggurat import Cid, Store
from ziggurat.backend import Blob, Timeouts
from ziggurat.content import DAG_PB
from ziggurat.content.car import write_car
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.unixfs import inner_data
from ziggurat.content.varint import encode_varint
from ziggurat.errors import DuplicateTier, TierTimeout, TierUnavailable

Make = Callable[..., Store]
DATA = random.Random(7).randbytes(5000)


def repeated(leaf: bytes, *times: int) -> tuple[Cid, dict[Cid, bytes]]:
    """A file of one leaf, repeated by each level of nodes so many times."""
    cid, size = Cid.of(leaf), len(leaf)
    blocks = {cid: leaf}
    for count in times:
        message = inner_data(size * count, (b"\x20" + encode_varint(size)) * count)
        block = encode_node([Link(cid, b"", 1)] * count, message)
        cid, size = Cid.of(block, DAG_PB), size * count
        blocks = {cid: block, **blocks}
    return cid, blocks


def test_a_whole_read_asks_for_so_many_leaves_at_a_time(make: Make) -> None:
    """A few hundred bytes may name more leaves than there is memory to list them."""
    root, blocks = repeated(b"x", 300, 300)
    rig = Rig(style="pread")
    stack = make(store("a", rig))
    stack.import_car(io.BytesIO(b"".join(write_car([root], blocks.items()))))
    rig.forget()
    assert stack.get(root) == b"x" * 90_000
    lengths = [part.length for key, part in rig.reads() if part is not None]
    assert sum(lengths) == 90_000
    assert max(lengths) <= 1 << 16


def test_an_open_file_reads_a_large_tree_once(make: Make) -> None:
    """The tree of a file of 100 GB is too large to be remembered when nobody holds it."""
    rig = Rig()
    stack = make(store("a", rig))
    cid = stack.put(DATA).cid
    stack._parts.reader._layouts._known = cachetools.LRUCache(0)
    rig.forget()
    with io.BufferedReader(cast("io.BufferedReader", stack.open(cid)).detach(), 64) as file:
        assert file.read(500) + file.read() == DATA
        file.seek(100)
        assert file.read(10) == DATA[100:110]
    assert rig.count("get", ".nodes") == 1


def test_a_closure_is_proved_in_one_pass(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "file").write_bytes(DATA)
    medium = DagMedium()
    tier = dag("d", medium)
    stack = make(tier)
    cid = stack.put_dir(folder).cid
    before = tier.meter.bytes_read
    assert all(found.ok for found in stack.verify(cid))
    kept = sum(map(len, medium.blocks.values()))
    assert tier.meter.bytes_read - before < 2 * kept, "the nodes twice, to learn the tree; the leaves once"


# -- caches ---------------------------------------------------------------------------------------


def test_a_put_that_failed_after_it_kept_the_block_leaves_no_uncounted_bytes(make: Make) -> None:
    rig, ram = Rig(), Rig()

    def keeps_and_fails(op: str, key: str, _range: Any) -> Any:
        if op == "put":
            ram.held[key] = b"kept"
            raise TierUnavailable("after all")
        return PASS

    ram.on = keeps_and_fails
    stack = make(cache("ram", ram), store("a", rig))
    cid = stack.put(b"content").cid
    assert stack.get(cid) == b"content"
    assert not ram.held
    (counted, _) = stack._parts.caches.caches[0].usage()
    assert counted == 0


def test_what_a_failed_put_left_and_cannot_be_evicted_goes_on_counting(make: Make) -> None:
    rig, ram = Rig(), Rig()

    def fails(op: str, key: str, _range: Any) -> Any:
        if op in ("put", "evict"):
            raise TierUnavailable("no")
        return PASS

    ram.on = fails
    stack = make(cache("ram", ram), store("a", rig))
    cid = stack.put(b"content").cid
    assert stack.get(cid) == b"content"
    assert stack._parts.caches.caches[0].usage() == (7, 1)


# -- time -----------------------------------------------------------------------------------------


def test_a_body_that_drips_ends_with_the_time_limit_of_the_call() -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.02)
            yield b"x"

    rig = Rig(on=lambda op, key, part: Blob(100, drip) if op == "get" else PASS)
    tier = store("a", rig, timeouts=Timeouts(total=0.15))
    body = patient(lambda: tier.get(Cid.of(b"").key))
    assert isinstance(body, Blob)
    with pytest.raises(TierTimeout):
        b"".join(body.chunks())


# -- what is left behind --------------------------------------------------------------------------


def test_a_stack_that_cannot_be_wired_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DuplicateTier):
        Store.from_tiers([store("a"), store("a")], path=tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("seconds", [2**63 - 1, 1 << 62])
def test_a_time_that_no_system_can_hold_loses_no_file(make: Make, tmp_path: Path, seconds: int) -> None:
    message = b"\x08\x02\x12\x04data\x18\x04\x42" + bytes((1 + len(encode_varint(seconds)), 0x08))
    message += encode_varint(seconds)
    block = encode_node([], message)
    root = Cid.of(block, DAG_PB)
    stack = make(store("a"))
    stack.import_car(io.BytesIO(b"".join(write_car([root], [(root, block)]))))
    assert stack.save(root, tmp_path / "out").size == 4
    assert (tmp_path / "out").read_bytes() == b"data"
