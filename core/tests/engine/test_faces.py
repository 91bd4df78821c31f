"""References to blobs, and a store that is closed or forked."""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.rigged import Rig, cache, store

from ziggurat import Cid, Store
from ziggurat.content import DAG_PB, RAW
from ziggurat.content.dagpb import encode_node
from ziggurat.errors import (
    BlobNotFound,
    MalformedContent,
    NotAFile,
    NotDurable,
    StoreError,
    UnsupportedContent,
    ZigguratError,
)

from .blocks import Make, directory, over

# -- references -------------------------------------------------------------------------------------


def test_references_of_every_kind(make: Make) -> None:
    root, blocks = directory(("a", b"A", RAW))
    stack = over(make, blocks)
    for ref in (f"{root}/a", f"/ipfs/{root}/a", f"ipfs://{root}/a", f"{root}//a/"):
        assert stack.get(ref) == b"A"
        assert stack.resolve(ref) == Cid.of(b"A", RAW)
    assert stack.resolve(str(root)) == stack.resolve(root) == root
    for wrong in ("", "/", "a", "/ipfs/", f"x{root}", b"bytes", None, 5, Path("a")):
        with pytest.raises(ZigguratError):
            stack.get(wrong)  # type: ignore[arg-type]  # some of them are no reference at all
    with pytest.raises(BlobNotFound):
        stack.get(f"{root}/A")


def test_a_dag_pb_block_that_is_no_file(make: Make) -> None:
    block = encode_node([], b"not unixfs \xff")
    other = encode_node([], None)
    for one in (block, other):
        cid = Cid.of(one, DAG_PB)
        stack = over(make, {cid: one})
        for read in (stack.get, stack.open, stack.stream):
            with pytest.raises(NotAFile):
                read(cid)
    bad = b"\xff\xff"
    with pytest.raises((MalformedContent, UnsupportedContent)):
        over(make, {Cid.of(bad, DAG_PB): bad}).open(Cid.of(bad, DAG_PB))


def test_a_block_of_another_codec_gives_its_own_bytes(make: Make) -> None:
    block = b"\xa1\x61a\x01"
    cid = Cid.of(block, 0x78)
    rig = Rig()
    rig.held[cid.key] = block
    for stack in (make(store("a", rig)), over(make, {cid: block}), make(cache("ram"), store("a", rig))):
        for _ in range(2):
            assert stack.get(cid) == block
        assert stack.get(cid, 1, 2) == block[1:3]
        assert stack.stat(cid).type == "block"
        with pytest.raises(UnsupportedContent, match="0x78"):
            stack.export_car(cid, io.BytesIO())
    rig.held[cid.key] = block + b"x"
    with pytest.raises(StoreError):
        make(store("a", rig)).get(cid)


# -- the end of a store -----------------------------------------------------------------------------


def every_method(stack: Store, cid: Cid, path: Path) -> Iterator[Callable[[], Any]]:
    yield lambda: stack.get(cid)
    yield lambda: stack.get(cid, 1, 1)
    yield lambda: stack.get(str(cid))
    yield lambda: list(stack.stream(cid))
    yield lambda: stack.open(cid)
    yield lambda: stack.save(cid, path)
    yield lambda: stack.has(cid)
    yield lambda: stack.stat(cid)
    yield lambda: list(stack.ls(cid))
    yield lambda: stack.resolve(cid)
    yield lambda: stack.put(b"x")
    yield lambda: list(stack.put_many([b"x"]))
    yield lambda: stack.put_dir(path.parent)
    yield lambda: stack.import_car([b""])
    yield lambda: stack.export_car(cid, io.BytesIO())
    yield lambda: stack.adopt(cid, "a")
    yield lambda: stack.copy(cid, "a")
    yield lambda: list(stack.roots())
    yield lambda: stack.pin(cid)
    yield lambda: stack.unpin(cid)
    yield lambda: list(stack.pins())
    yield lambda: stack.evict(cid, "a")
    yield lambda: stack.remove(cid)
    yield lambda: stack.gc()
    yield lambda: list(stack.verify())
    yield lambda: stack.explain(cid)
    yield lambda: stack.stats()
    yield lambda: stack.failures()
    yield lambda: stack.tiers


def test_a_closed_store_says_so(make: Make, tmp_path: Path) -> None:
    stack = make(cache("ram"), store("a"))
    cid = stack.put(b"small").cid
    large = stack.put(bytes(range(256)) * 80_000).cid
    stack.get(cid)
    stream, file = stack.stream(large), stack.open(large)
    next(stream)
    file.read(1)
    stack.close()
    stack.close()
    for call in every_method(stack, cid, tmp_path / "x"):
        with pytest.raises(StoreError, match="closed"):
            call()
    with pytest.raises(StoreError, match="closed"):
        list(stream)
    with pytest.raises(StoreError, match="closed"):
        file.seek(10_000_000) and file.read(1)


def test_a_store_after_a_fork_says_so(make: Make, tmp_path: Path) -> None:
    stack = make(cache("ram"), store("a"))
    cid = stack.put(b"small").cid
    large = stack.put(random.Random(1).randbytes(1 << 20)).cid
    stack.get(cid)
    stream = stack.stream(large)
    next(stream)
    # A pipe and os._exit: the child must not run this test's clean-up.
    read, write = os.pipe()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: that is the point
        child = os.fork()
    if not child:
        wrong = 0
        for call in (*every_method(stack, cid, tmp_path / "x"), lambda: list(stream)):
            try:
                call()
                wrong += 1
            except StoreError as error:
                wrong += "fork" not in str(error)
            except BaseException:  # noqa: BLE001 - the child counts whatever it is, and must not leave
                wrong += 1
        stack.close()
        os.write(write, bytes([wrong]))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        timer = threading.Timer(20, os.kill, (child, 9))
        timer.start()
        assert answer.read() == b"\0"
        timer.cancel()
    os.waitpid(child, 0)
    assert stack.get(cid) == b"small"
    assert b"".join(stream)


def test_a_stack_without_a_store_keeps_nothing(make: Make, tmp_path: Path) -> None:
    from tests.support.rigged import source

    rig = Rig()
    cid = Cid.of(b"x", RAW)
    rig.held[cid.key] = b"x"
    stack = make(cache("ram"), source("s", rig), path=tmp_path / "none")
    assert stack.get(cid) == b"x"
    for call in (lambda: stack.put(b"x"), lambda: stack.pin(cid), lambda: stack.copy(cid, "s")):
        with pytest.raises(NotDurable):
            call()
    with pytest.raises(BlobNotFound):
        stack.remove(cid)
    assert stack.gc() == ()
    assert not (tmp_path / "none").exists()
