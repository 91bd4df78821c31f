"""What a user holds: files, paths, saved trees, sources of puts, and a store that is closed or forked."""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, cache, dag, store

from ziggurat import Cid, Store
from ziggurat.content import DAG_PB, RAW
from ziggurat.content.car import write_car
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.varint import encode_varint
from ziggurat.errors import (
    BlobNotFound,
    ContentMismatch,
    MalformedContent,
    NotAFile,
    NotDurable,
    StoreError,
    UnsupportedContent,
    ZigguratError,
)

Make = Callable[..., Store]
DATA = random.Random(11).randbytes(64 * 10 + 17)


# -- a file object ----------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 800)),
        st.tuples(st.just("read1"), st.integers(0, 800)),
        st.tuples(st.just("readinto"), st.integers(0, 300)),
        st.tuples(st.just("peek"), st.just(0)),
        st.tuples(st.just("set"), st.integers(0, 900)),
        st.tuples(st.just("cur"), st.integers(-200, 200)),
        st.tuples(st.just("end"), st.integers(-700, 100)),
        st.tuples(st.just("tell"), st.just(0)),
    ),
    max_size=12,
)


def step(file: Any, op: str, value: int) -> Any:
    try:
        if op == "read":
            return file.read(value)
        if op == "readinto":
            buffer = bytearray(value)
            return file.readinto(buffer), bytes(buffer)
        if op == "set":
            return file.seek(value)
        if op == "cur":
            return file.seek(value, io.SEEK_CUR)
        if op == "end":
            return file.seek(value, io.SEEK_END)
        return file.tell()
    except ValueError:
        return ValueError


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, size=st.sampled_from([0, 1, 64, 65, 657]))
def test_a_file_object_is_like_any_other(make: Make, steps: list[tuple[str, int]], size: int) -> None:
    stack = _shared(make)
    cid = stack.put(DATA[:size]).cid
    with stack.open(cid) as file:
        plain = io.BytesIO(DATA[:size])
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        for op, value in steps:
            if op == "read1":
                before = file.tell()
                got = file.read1(value)  # type: ignore[attr-defined]  # it is a BufferedReader
                assert DATA[:size][before : before + len(got)] == got
                assert len(got) <= value
                plain.seek(file.tell())
            elif op == "peek":
                assert DATA[:size][file.tell() :].startswith(file.peek(1))  # type: ignore[attr-defined]  # BufferedReader has it
            elif (op, plain.tell() + value < 0) == ("cur", True) or (op == "end" and size + value < 0):
                # A BytesIO goes to the start instead; a file refuses.
                with pytest.raises((ValueError, OSError)):
                    file.seek(value, io.SEEK_CUR if op == "cur" else io.SEEK_END)
            else:
                assert step(file, op, value) == step(plain, op, value), (op, value)
            assert file.tell() == plain.tell()
    with pytest.raises(ValueError, match="closed"):
        file.read()


_stacks: dict[int, Store] = {}


def _shared(make: Make) -> Store:
    if id(make) not in _stacks:
        _stacks.clear()
        _stacks[id(make)] = make(cache("ram", capacity=500), store("a"))
    return _stacks[id(make)]


def test_lines_of_a_file(make: Make) -> None:
    text = "".join(f"line {number} äöü\n" for number in range(100))
    stack = make(store("a"))
    cid = stack.put(text.encode()).cid
    with io.TextIOWrapper(stack.open(cid), "utf-8") as file:
        assert file.read() == text


# -- sources of a put -------------------------------------------------------------------------------


def test_text_is_neither_a_path_nor_bytes(make: Make) -> None:
    stack = make(store("a"))
    with pytest.raises(TypeError, match=r"pathlib\.Path.*encode"):
        stack.put("text")  # type: ignore[arg-type]  # the mistake that is tested


@pytest.mark.parametrize(
    "wrong", [5, None, ["text"], [1, 2], io.StringIO("text"), object(), {1: 2}, [b"a", "b"]]
)
def test_sources_without_bytes(make: Make, wrong: Any) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    with pytest.raises(TypeError):
        stack.put(wrong)
    assert not rig.held


def test_every_source_gives_one_cid(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    stack = make(store("a"))

    class Drip(io.RawIOBase):
        def __init__(self) -> None:
            self.left = DATA

        def read(self, size: int = -1) -> bytes:
            piece, self.left = self.left[:7], self.left[7:]
            return piece

    reused = bytearray(5)

    def refilled() -> Iterator[memoryview]:
        for at in range(0, len(DATA), 5):
            piece = DATA[at : at + 5]
            reused[: len(piece)] = piece
            yield memoryview(reused)[: len(piece)]

    with path.open("rb") as file:
        sources: list[Any] = [
            DATA,
            bytearray(DATA),
            memoryview(DATA),
            path,
            file,
            Drip(),
            iter([DATA]),
            refilled(),
            (bytes([b]) for b in DATA),
        ]
        assert {stack.put(source).cid for source in sources} == {stack.put(DATA).cid}
    with path.open("rb") as file:
        file.seek(100)
        assert stack.get(stack.put(file).cid) == DATA[100:]


@pytest.mark.parametrize("at", [0, 1, 5, 10])
def test_a_source_that_raises_keeps_nothing(make: Make, at: int) -> None:
    rig, medium = Rig(), DagMedium()
    stack = make(store("a", rig), dag("d", medium), min_copies=2)

    def broken() -> Iterator[bytes]:
        for number in range(11):
            if number == at:
                raise OSError(5, "the disk of the user")
            yield DATA[number * 64 : number * 64 + 64]

    with pytest.raises(OSError, match="disk of the user"):
        stack.put(broken())
    assert not rig.held
    assert not medium.blocks
    assert not list(stack.roots())


@pytest.mark.parametrize("change", ["bytes", "shorter", "longer"])
@pytest.mark.parametrize("which", ["a", "d"])
def test_a_file_that_changes_between_the_passes(make: Make, tmp_path: Path, change: str, which: str) -> None:
    path = tmp_path / "file"
    size = (12 << 20) + 5  # more than is read ahead
    path.write_bytes(bytes(size))
    rig, medium = Rig(style="chunks"), DagMedium()
    stack = make(store("a", rig) if which == "a" else dag("d", medium), profile="unixfs-v1-2025")

    told = 0

    def progress(count: int) -> None:
        nonlocal told
        told += count
        if told == count:
            if change == "bytes":
                with path.open("r+b") as file:
                    file.seek(size - 10)
                    file.write(b"x")
            elif change == "shorter":
                os.truncate(path, size - 10)
            else:
                with path.open("ab") as file:
                    file.write(b"more")

    if change == "longer":
        # What is appended behind the end was not there when the content was named.
        cid = stack.put(path, progress=progress).cid
        assert stack.get(cid) == bytes(size)
        return
    with pytest.raises(ContentMismatch, match="changed while it was read"):
        stack.put(path, progress=progress)
    assert not rig.held
    assert not medium.blocks
    assert not list(stack.roots())


def test_a_file_of_a_directory_that_changes_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        (tmp_path / "photos" / name).write_bytes(DATA)
    stack = make(store("a"))

    def progress(_: int) -> None:
        (tmp_path / "photos" / "b").write_bytes(DATA[::-1])

    (tmp_path / "photos" / "b").write_bytes(bytes(len(DATA)))
    with pytest.raises(ContentMismatch, match=r"photos/b': the source changed"):
        stack.put_dir(tmp_path / "photos", progress=late(progress, 2 * len(DATA)))


def late(call: Callable[[int], None], after: int) -> Callable[[int], None]:
    """Progress that calls once so many bytes are done: the first pass is over, the second is not."""
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done == after:
            call(count)

    return progress


def test_expect(make: Make) -> None:
    rig = Rig()
    stack = make(store("a", rig), profile="unixfs-v1-2025")
    cid = stack.put(DATA).cid
    rig.held.clear()
    with pytest.raises(ContentMismatch):
        stack.put(DATA[1:], expect=cid)
    assert not rig.held
    v0 = make(store("b"), profile="unixfs-v0-2015").put(DATA).cid
    assert stack.put(DATA, expect=v0).cid == v0, "the named profiles are tried"
    assert stack.get(v0) == DATA


# -- saving -----------------------------------------------------------------------------------------


def directory(*entries: tuple[str, bytes, int]) -> tuple[Cid, dict[Cid, bytes]]:
    """A directory of raw or dag-pb children, built by hand: names are not checked."""
    blocks = {Cid.of(block, codec): block for _, block, codec in entries}
    links = [
        Link(Cid.of(block, codec), name.encode("utf-8", "surrogateescape"), len(block))
        for name, block, codec in entries
    ]
    root = encode_node(links, b"\x08\x01")
    return Cid.of(root, DAG_PB), {Cid.of(root, DAG_PB): root, **blocks}


def symlink(target: bytes) -> bytes:
    message = b"\x08\x04\x12" + encode_varint(len(target)) + target
    return b"\x0a" + encode_varint(len(message)) + message


def over(make: Make, blocks: dict[Cid, bytes]) -> Store:
    return make(dag("d", DagMedium(blocks=blocks)))


@pytest.mark.parametrize("name", ["..", ".", "", "../out", "/abs", "a/b", "nul\0", "\udcff", "a/../../b"])
def test_names_that_lead_out_are_refused(make: Make, tmp_path: Path, name: str) -> None:
    root, blocks = directory(("good", b"good", RAW), (name, b"evil", RAW))
    stack = over(make, blocks)
    target = tmp_path / "in" / "target"
    target.parent.mkdir()
    with pytest.raises(MalformedContent):
        stack.save(root, target)
    with pytest.raises(MalformedContent):
        list(stack.ls(root))
    assert {path.name for path in (tmp_path / "in").rglob("*")} <= {"target", "good"}
    assert not (tmp_path / "out").exists()
    with pytest.raises(ZigguratError):
        stack.get(f"{root}/{name}" if name else f"{root}/x")


def test_a_symlink_is_not_followed_by_what_comes_after_it(make: Make, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inner, inner_blocks = directory(("file", b"evil", RAW))
    for second in (("a", inner_blocks[inner], DAG_PB), ("a", b"evil", RAW)):
        root, blocks = directory(("a", symlink(str(outside).encode()), DAG_PB), second)
        stack = over(make, blocks | inner_blocks)
        with pytest.raises(MalformedContent, match="two entries"):
            stack.save(root, tmp_path / f"target-{second[2]}")
        assert not list(outside.iterdir())


def test_a_symlink_that_stands_there_is_not_followed(make: Make, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    target = tmp_path / "target"
    target.mkdir()
    (target / "a").symlink_to(outside)
    (target / "b").symlink_to(outside / "kept")
    inner, inner_blocks = directory(("file", b"evil", RAW))
    root, blocks = directory(("a", inner_blocks[inner], DAG_PB))
    stack = over(make, blocks | inner_blocks)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            stack.save(root, target, overwrite=overwrite)
    file, blocks = directory(("b", b"new", RAW))
    over(make, blocks).save(file, target, overwrite=True)
    assert (outside / "kept").read_bytes() == b"kept"
    assert not (target / "b").is_symlink()
    assert (target / "b").read_bytes() == b"new"
    assert {path.name for path in outside.iterdir()} == {"kept"}


@pytest.mark.parametrize("target", [b"", b"a\0b"])
def test_symlinks_that_no_file_system_takes(make: Make, tmp_path: Path, target: bytes) -> None:
    root, blocks = directory(("a", symlink(target), DAG_PB))
    with pytest.raises((ZigguratError, OSError)):
        over(make, blocks).save(root, tmp_path / "target")


def test_overwrite_rules(make: Make, tmp_path: Path) -> None:
    stack = make(store("a"))
    cid = stack.put(DATA).cid
    target = tmp_path / "file"
    assert stack.save(cid, target).size == len(DATA)
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        stack.save(cid, target)
    assert target.read_bytes() == b"mine"
    stack.save(cid, target, overwrite=True)
    assert target.read_bytes() == DATA
    (tmp_path / "dir").mkdir()
    with pytest.raises(FileExistsError):
        stack.save(cid, tmp_path / "dir", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} >= {"file", "dir"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_save_that_fails_leaves_nothing(make: Make, tmp_path: Path) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    cid = stack.put(DATA).cid
    rig.flip(cid.key, 500)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(StoreError):
        stack.save(cid, folder / "file")
    (folder / "old").write_bytes(b"old")
    with pytest.raises(StoreError):
        stack.save(cid, folder / "old", overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert (folder / "old").read_bytes() == b"old"


def with_times(data: bytes, mode: int, seconds: int, nanos: int = 0) -> bytes:
    mtime = b"\x08" + encode_varint(seconds) + (b"\x15" + nanos.to_bytes(4, "little") if nanos else b"")
    message = b"\x08\x02\x12" + encode_varint(len(data)) + data + b"\x18" + encode_varint(len(data))
    message += b"\x38" + encode_varint(mode) + b"\x42" + encode_varint(len(mtime)) + mtime
    return b"\x0a" + encode_varint(len(message)) + message


@pytest.mark.parametrize("form", ["dag", "bytes", "cached"])
def test_modes_and_times_of_small_files(make: Make, tmp_path: Path, form: str) -> None:
    """A file of one block has them in its leaf."""
    leaf = with_times(b"content", 0o4751, 1_600_000_000, 500_000_000)
    root, blocks = directory(("file", leaf, DAG_PB))
    if form == "dag":
        stack = over(make, blocks)
    else:
        tiers = [cache("ram")] if form == "cached" else []
        stack = make(*tiers, store("a"))
        stack.import_car([b"".join(write_car([root], blocks.items()))])
    for attempt in range(2):
        [entry] = stack.ls(root)
        assert (entry.type, entry.size, entry.mode, entry.mtime) == ("file", 7, 0o4751, 1_600_000_000.5)
        stat = stack.stat(f"{root}/file")
        assert (stat.type, stat.size, stat.mode, stat.mtime) == ("file", 7, 0o4751, 1_600_000_000.5)
        stack.save(root, tmp_path / f"{attempt}")
        saved = (tmp_path / f"{attempt}" / "file").stat()
        assert (saved.st_mode & 0o7777, saved.st_mtime) == (0o751, 1_600_000_000.5), "no set-id bits"
        assert stack.get(f"{root}/file") == b"content"


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
