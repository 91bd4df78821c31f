"""What is synced, in which order, and that a cache never is."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ziggurat.backend import Blob
from ziggurat.errors import TierUnavailable
from ziggurat_disk import Disk

Make = Callable[..., Disk]
KEY = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
BIG = b"x" * 100_000


class Trace:
    """The calls that decide what survives a power cut, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.calls: list[str] = []
        self.threads: set[int] = set()

        def name(fd: int) -> str:
            path = os.readlink(f"/proc/self/fd/{fd}")
            path = os.path.relpath(path, folder)
            return "aside" if path.startswith("tmp/") else path

        def watch(what: str, describe: Callable[..., str]) -> None:
            real = getattr(os, what)

            def call(*arguments: object) -> object:
                self.calls.append(f"{what} {describe(*arguments)}")
                self.threads.add(threading.get_ident())
                return real(*arguments)

            monkeypatch.setattr(os, what, call)

        watch("fsync", name)
        watch("fdatasync", name)
        watch("rename", lambda old, new: os.path.relpath(new, folder))
        watch("unlink", lambda path: os.path.relpath(path, folder))
        watch("mkdir", lambda path, mode=0: os.path.relpath(path, folder))


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Trace:
    return Trace(monkeypatch, folder)


def test_a_new_medium_is_synced_from_its_parents_down(make: Make, folder: Path, trace: Trace) -> None:
    make(path=folder / "a" / "b").identify(claim=True)
    calls = trace.calls
    assert calls.index("mkdir .") < calls.index("fsync ..")
    assert calls.index("mkdir a") < calls.index("fsync .")
    assert calls.index("mkdir a/b") < calls.index("fsync a")
    assert calls.index("fsync a/b/marker.json.new") < calls.index("rename a/b/marker.json")
    assert calls[-1] == "fsync a/b"  # after the marker, with all names in that folder


def test_a_large_put_is_synced_then_renamed_then_its_folder_is_synced(make: Make, trace: Trace) -> None:
    disk = make()
    disk.identify(claim=True)
    trace.calls.clear()
    disk.put(KEY, BIG)
    assert trace.calls == [
        "mkdir files/di",
        "fsync files",
        "fsync aside",
        f"rename files/di/{KEY}",
        "fsync files/di",
    ]
    trace.calls.clear()
    disk.put(KEY, BIG)
    assert trace.calls[1:] == ["fsync aside", f"rename files/di/{KEY}", "fsync files/di"]
    trace.calls.clear()
    disk.evict(KEY)
    assert trace.calls == [f"unlink files/di/{KEY}", "fsync files/di"]


def test_a_very_large_put_starts_to_sync_early_in_another_thread(make: Make, trace: Trace) -> None:
    disk = make()
    disk.identify(claim=True)
    trace.calls.clear()
    disk.put(KEY, b"x" * (40 << 20))
    assert "fdatasync aside" in trace.calls
    assert len(trace.threads) > 1
    assert trace.calls[-3:] == ["fsync aside", f"rename files/di/{KEY}", "fsync files/di"]


def test_a_put_that_fails_waits_for_its_early_sync(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the helper would sync whatever file got the same descriptor next."""
    disk = make()
    disk.identify(claim=True)
    begun, synced = threading.Event(), []

    def slow(fd: int) -> None:
        begun.set()
        time.sleep(0.1)
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    def chunks() -> Iterator[bytes]:
        yield b"x" * (20 << 20)
        assert begun.wait(10)
        raise ValueError("the source failed")

    monkeypatch.setattr(os, "fdatasync", slow)
    with pytest.raises(ValueError, match="source"):
        disk.put(KEY, Blob(30 << 20, chunks))
    assert len(synced) == 1
    assert "/disk/tmp/" in synced[0]


def test_a_cache_syncs_nothing(make: Make, trace: Trace) -> None:
    disk = make(role="cache")
    disk.identify(claim=True)
    trace.calls.clear()
    for content in (BIG, b"small", BIG, b"x" * (20 << 20)):
        disk.put(KEY, content)
    disk.evict(KEY)
    assert not [call for call in trace.calls if "sync" in call]


def test_a_file_behind_a_row_is_gone_for_good_before_the_row_is(
    make: Make, trace: Trace, folder: Path
) -> None:
    disk = make()
    disk.put(KEY, b"row")
    (folder / "files" / "di").mkdir()
    (folder / "files" / "di" / KEY).write_bytes(b"left by a crash")
    trace.calls.clear()
    assert disk.evict(KEY)
    assert trace.calls == [f"unlink files/di/{KEY}", "fsync files/di"]
    assert disk.get(KEY, None) is None


@pytest.mark.parametrize(("role", "level"), [("store", 2), ("cache", 0), ("source", 2)])
def test_the_databases_own_commits(make: Make, role: str, level: int) -> None:
    make().identify(claim=True)
    disk = make(role=role)
    disk.has(KEY)
    assert disk._copies is not None
    assert disk._copies._db.write(lambda connection: connection.pragma("synchronous")) == level
    assert disk._copies._db.write(lambda connection: connection.pragma("journal_mode")) == "wal"


def test_a_failing_sync_is_not_a_put(make: Make, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    disk = make()
    disk.put(KEY, b"before")
    real = os.fsync

    def fail(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TierUnavailable, match="Input/output"):
        disk.put(KEY, BIG)
    assert disk.get(KEY, None) == b"before"
    assert not os.listdir(folder / "tmp")
    monkeypatch.undo()
    monkeypatch.setattr(os, "fdatasync", fail)
    for size in (20 << 20, 40 << 20):  # the last of the early syncs, and one before it
        with pytest.raises(TierUnavailable, match="Input/output"):
            disk.put(KEY, b"x" * size)
    assert disk.get(KEY, None) == b"before"
    assert not os.listdir(folder / "tmp")
