"""The hooks of the disk backend, alone."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.backend import Blob, ByteRange, Cid, Context, Dag, as_key
from ziggurat.errors import ContentMismatch, RangeError, TierError, TierUnavailable, Unsupported
from ziggurat_disk import Disk, DiskOptions, backend

Make = Callable[..., Disk]
Read = Callable[[bytes | Blob | None], bytes | None]
Media = Callable[[str], tuple[bytes | None, bytes | None]]
KEY = Cid.parse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi").key
SMALL = 1000
SIZES = (0, 1, SMALL - 1, SMALL, SMALL + 1, 2 << 20, (2 << 20) + 1, 5 << 20)


def content(size: int, seed: int = 0) -> bytes:
    return bytes([seed]) * (size // 2) + bytes(reversed(bytes([seed + 1]) * (size - size // 2)))


def in_pieces(data: bytes, piece: int = 7777) -> Blob:
    return Blob(len(data), lambda: (data[i : i + piece] for i in range(0, len(data), piece)))


@pytest.mark.parametrize("wrap", [bytes, Blob.of, in_pieces], ids=["bytes", "blob", "pieces"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("role", ["store", "cache"])
def test_what_was_put_is_given_back(
    make: Make, role: str, size: int, wrap: Callable[[bytes], bytes | Blob], read: Read
) -> None:
    disk, data = make(role=role, small=SMALL), content(size)
    stat = disk.put(KEY, wrap(data))
    assert (stat.size, stat.stored) == (size, size)
    assert read(disk.get(KEY, None)) == data
    assert disk.stat(KEY) == stat
    assert disk.has(KEY)
    assert list(disk.scan()) == [KEY]
    disk.close()
    again = make(role=role)  # another threshold finds what the first one left
    assert read(again.get(KEY, None)) == data
    assert again.evict(KEY)
    assert not again.evict(KEY)
    assert again.get(KEY, None) is None
    assert again.stat(KEY) is None
    assert not again.has(KEY)
    assert list(again.scan()) == []


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), size=st.sampled_from([1, 999, 1000, 70_000, 3 << 20]))
def test_any_range_is_exact(tmp_path: Path, data: st.DataObject, size: int, read: Read) -> None:
    disk = Disk(DiskOptions(path=tmp_path / "disk", small=SMALL), Context("tier", "cache"))
    try:
        whole = os.urandom(size)
        disk.put(KEY, whole)
        offset = data.draw(st.integers(0, size - 1))
        length = data.draw(st.one_of(st.integers(1, size - offset), st.just(size - offset)))
        answer = disk.get(KEY, ByteRange(offset, length))
        if isinstance(answer, Blob):
            view = bytearray(min(length, 100))
            assert answer.pread is not None
            assert answer.pread(memoryview(view), length - len(view)) == len(view)
            assert view == whole[offset + length - len(view) : offset + length]
            assert answer.pread(memoryview(bytearray(10)), length) == 0
            assert answer.pread(memoryview(bytearray(10)), length - 1) == 1
        assert read(answer) == whole[offset : offset + length]
    finally:
        disk.close()


@pytest.mark.parametrize("size", [10, SMALL, 3 << 20])
def test_a_range_beyond_the_copy_is_an_error(make: Make, size: int) -> None:
    disk = make(small=SMALL)
    disk.put(KEY, content(size))
    with pytest.raises(RangeError, match="verify"):
        disk.get(KEY, ByteRange(size - 1, 2))


@pytest.mark.parametrize("before", [1, SMALL - 1, SMALL, 3 << 20])
@pytest.mark.parametrize("after", [1, SMALL - 1, SMALL, 3 << 20])
@pytest.mark.parametrize("role", ["store", "cache"])
def test_a_put_replaces_across_both_media(
    make: Make, folder: Path, role: str, before: int, after: int, read: Read, media: Media
) -> None:
    disk = make(role=role, small=SMALL)
    old, new = content(before, 1), content(after, 5)
    disk.put(KEY, old)
    held = disk.get(KEY, None)
    disk.put(KEY, new)
    assert read(disk.get(KEY, None)) == new
    assert sum(copy is not None for copy in media(KEY)) == 1
    assert list(disk.scan()) == [KEY]
    assert read(held) == old  # it was open: a later change is harmless
    assert disk.evict(KEY)
    assert media(KEY) == (None, None)
    assert not os.listdir(folder / "tmp")


@pytest.mark.parametrize("size", [5, SMALL - 1, SMALL, 3 << 20])
def test_what_get_gave_is_open(make: Make, size: int, read: Read) -> None:
    disk = make(small=SMALL)
    disk.put(KEY, content(size))
    answer = disk.get(KEY, None)
    disk.evict(KEY)
    disk.close()
    assert read(answer) == content(size)


def test_a_closed_answer_says_so_and_leaks_nothing(disk: Disk) -> None:
    disk.put(KEY, content(3 << 20))
    before = len(os.listdir("/proc/self/fd"))
    answer = disk.get(KEY, None)
    assert isinstance(answer, Blob)
    pieces = answer.chunks()
    next(pieces)
    answer.close()
    answer.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(TierError, match="closed"):
        next(pieces)
    disk.get(KEY, None)  # dropped unread
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("size", [10, SMALL, 3 << 20])
@pytest.mark.parametrize("wrong", [-1, 1, 1 << 20])
@pytest.mark.parametrize("there", [None, 10, SMALL])
def test_content_of_another_size_is_refused_whole(
    make: Make, folder: Path, size: int, wrong: int, there: int | None, read: Read
) -> None:
    disk = make(small=SMALL)
    disk.put("other", b"")
    if there is not None:
        disk.put(KEY, content(there, 8))
    data = content(max(0, size + wrong))
    with pytest.raises(ContentMismatch):
        disk.put(KEY, Blob(size, lambda: (data[i : i + 999] for i in range(0, len(data), 999))))
    assert read(disk.get(KEY, None)) == (None if there is None else content(there, 8))
    assert not os.listdir(folder / "tmp")


@pytest.mark.parametrize("size", [10, SMALL])
def test_content_without_end_is_not_read_to_its_end(make: Make, size: int) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * SMALL
        raise AssertionError("read on")

    with pytest.raises(ContentMismatch):
        make(small=SMALL).put(KEY, Blob(size, chunks))


class OddError(Exception):
    pass


@pytest.mark.parametrize("size", [10, SMALL, 20 << 20])
@pytest.mark.parametrize(
    "error",
    [OddError("odd"), OSError(errno.ENOSPC, "theirs"), KeyboardInterrupt(), TierUnavailable("theirs")],
)
def test_what_reading_the_content_raises_passes_unchanged(
    make: Make, folder: Path, size: int, error: BaseException
) -> None:
    disk = make(small=SMALL)
    disk.put(KEY, b"before")

    def chunks() -> Iterator[bytes]:
        yield b"x" * (size - 1)
        raise error

    with pytest.raises(type(error)) as caught:
        disk.put(KEY, Blob(size, chunks))
    assert caught.value is error
    assert disk.get(KEY, None) == b"before"
    assert not os.listdir(folder / "tmp")


def test_a_dag_is_refused_by_name(disk: Disk) -> None:
    with pytest.raises(Unsupported, match="DAG"):
        disk.put(KEY, Dag(lambda: ()))  # type: ignore[arg-type] # what it is never given


def test_reading_makes_nothing(make: Make, folder: Path) -> None:
    for role in ("store", "cache"):
        disk = make(role=role)
        assert disk.get(KEY, None) is None
        assert disk.get(KEY, ByteRange(0, 1)) is None
        assert not disk.has(KEY)
        assert disk.stat(KEY) is None
        assert not disk.evict(KEY)
        assert list(disk.scan()) == []
        assert disk.identify(claim=False) is None
        disk.close()
    assert not folder.exists()


def test_a_source_that_is_not_there_is_unavailable(make: Make) -> None:
    disk = make(role="source")
    with pytest.raises(TierUnavailable, match="mount"):
        disk.get(KEY, None)


def test_the_three_kinds_of_a_key_are_apart(make: Make, folder: Path, read: Read) -> None:
    disk = make(role="cache", small=SMALL)
    cid = KEY.cid
    keys = [cid.key, cid.nodes_key, cid.block_key]
    for n, key in enumerate(keys):
        disk.put(key, content(SMALL - 1 + n, n))
        disk.put(str(key), content(SMALL - 1 + n, n))
    assert sorted(disk.scan()) == sorted(keys)
    assert all(as_key(key) in keys for key in disk.scan())
    for n, key in enumerate(keys):
        assert read(disk.get(key, None)) == content(SMALL - 1 + n, n)
        assert read(disk.get(str(key), None)) == content(SMALL - 1 + n, n)
    assert {path.parent.name for path in folder.glob("files/*/*")} == {"di"}
    disk.evict(keys[1])
    assert sorted(disk.scan()) == sorted([keys[0], keys[2]])


def test_a_scan_lists_each_key_once_and_nothing_else(make: Make, folder: Path) -> None:
    disk = make(role="cache", small=SMALL)
    keys = {f"bafkey{n:05}" for n in range(2500)}
    for n, key in enumerate(sorted(keys)):
        disk.put(key, content(SMALL if n % 50 == 0 else 3))
    (folder / "files" / "stray").write_bytes(b"not a folder")
    (folder / "files" / "00" / "stray").write_bytes(b"not of this folder")
    listed = list(disk.scan())
    assert len(listed) == len(keys)
    assert set(listed) == keys


def test_a_scan_that_cannot_be_complete_raises(make: Make) -> None:
    disk = make(small=SMALL)
    disk.put("a", b"row")
    disk.put("b", content(SMALL))
    keys = disk.scan()
    next(keys)
    disk.put("b", b"a file becomes a row behind the cursor's back")
    with pytest.raises(TierUnavailable, match="again") as caught:
        list(keys)
    assert caught.value.retryable


def test_close_is_final_and_harmless_when_repeated(disk: Disk) -> None:
    disk.put(KEY, b"x")
    disk.close()
    disk.close()
    for call in (disk.has, disk.stat, lambda key: disk.get(key, None), lambda key: disk.put(key, b"y")):
        with pytest.raises(TierUnavailable, match="closed"):
            call(KEY)


def test_close_under_readers_and_writers(make: Make, read: Read) -> None:
    disk = make(small=SMALL)
    disk.put(KEY, content(SMALL - 1))

    def work() -> None:
        with suppress(TierUnavailable):
            while True:
                assert read(disk.get(KEY, None)) == content(SMALL - 1)
                disk.put(KEY, content(SMALL - 1))

    with ThreadPoolExecutor(6) as threads:
        jobs = [threads.submit(work) for _ in range(6)]
        disk.close()
        for job in jobs:
            job.result(timeout=20)


def test_threads_that_end_leave_no_files_open(disk: Disk) -> None:
    disk.put(KEY, b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        thread = threading.Thread(target=disk.get, args=(KEY, None))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) <= before + 4


def test_the_description() -> None:
    assert backend.default_cache_capacity == 10**9
    assert backend.capabilities.durable
    assert backend.capabilities.local
    assert backend.capabilities.ranges
    assert not backend.capabilities.volatile
    made = backend.factory(DiskOptions(path="x"), Context("tier", "store"))
    assert isinstance(made, Disk)
    assert not Path("x").exists()


@pytest.mark.parametrize(
    "wrong", [{"small": -1}, {"small": 2 << 20}, {"small": "1"}, {"min_free": 1}, {"min_free": -0.1}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        DiskOptions(path="x", **wrong)  # type: ignore[arg-type] # that is the point
