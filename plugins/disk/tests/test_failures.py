"""What a full, read-only, failing or damaged disk becomes: one clean error each, and nothing published."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace

import apsw
import pytest

from ziggurat.backend import Blob
from ziggurat.errors import RangeError, TierDenied, TierError, TierFull, TierUnavailable
from ziggurat_disk import Disk
from ziggurat_disk._errors import Translated
from ziggurat_disk._folders import refuse_network

Make = Callable[..., Disk]
Child = Callable[..., Popen[str]]
Read = Callable[[bytes | Blob | None], bytes | None]
KEY = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
BIG = b"x" * 100_000


def fails_with(monkeypatch: pytest.MonkeyPatch, name: str, code: int, after: int = 0) -> None:
    """Make one function of `os` fail, as the system would, from its call number `after` on."""
    real, calls = getattr(os, name), iter(range(10**9))

    def call(*arguments: object, **named: object) -> object:
        if next(calls) >= after:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize(
    ("code", "kind", "fix"),
    [
        (errno.ENOSPC, TierFull, "free space"),
        (errno.EDQUOT, TierFull, "free space"),
        (errno.EFBIG, TierFull, "free space"),
        (errno.EACCES, TierDenied, "read-write"),
        (errno.EROFS, TierDenied, "read-write"),
        (errno.EIO, TierUnavailable, "check the disk"),
        (errno.ENODEV, TierUnavailable, "mount"),
        (errno.ESTALE, TierUnavailable, "mount"),
        (errno.EMFILE, TierUnavailable, "fewer open files"),
    ],
)
@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_large_put_that_fails_publishes_nothing(
    make: Make,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    code: int,
    kind: type[TierError],
    fix: str,
) -> None:
    disk = make()
    disk.put(KEY, b"before")
    (folder / "files" / "di").mkdir()  # else a sync of its parent fails first, as a store's would
    fails_with(monkeypatch, step, code)
    with pytest.raises(kind, match=fix) as caught:
        disk.put(KEY, BIG)
    monkeypatch.undo()
    assert type(caught.value) is kind
    assert str(folder) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert disk.get(KEY, None) == b"before"
    assert disk.stat(KEY) is not None
    assert not os.listdir(folder / "tmp")
    disk.put(KEY, BIG)


def test_a_disk_that_fills_in_the_middle_of_a_put(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make()
    disk.identify(claim=True)
    fails_with(monkeypatch, "write", errno.ENOSPC, after=3)
    with pytest.raises(TierFull):
        disk.put(KEY, b"x" * (40 << 20))
    assert not disk.has(KEY)
    assert not os.listdir(folder / "tmp")


def test_a_database_without_room(make: Make, read: Read) -> None:
    disk = make()
    for n in range(10):
        disk.put(f"bafkey{n}", b"x" * 3000)
    assert disk._copies is not None
    writer = disk._copies._db._writer
    writer.pragma("max_page_count", writer.pragma("page_count"))
    with suppress(TierFull):
        for n in range(10, 20):
            disk.put(f"bafkey{n}", b"x" * 3000)
    for _ in range(3):
        with pytest.raises(TierFull, match="free space"):
            disk.put("bafkeynew", b"x" * 3000)
        assert not disk.has("bafkeynew")
    assert all(disk.get(f"bafkey{n}", None) == b"x" * 3000 for n in range(10))
    disk.put("bafkeylarge", BIG)  # a file takes no page
    assert read(disk.get("bafkeylarge", None)) == BIG
    assert disk.evict("bafkey0")
    disk.put("bafkey0", b"y" * 3000)


LIMITED = """
import resource, sys
from ziggurat.backend import Blob, Context
from ziggurat.errors import TierError
from ziggurat_disk import Disk, DiskOptions
disk = Disk(DiskOptions(path=sys.argv[1]), Context("tier", "store", catalog="c", capacity=10**12))
disk.put("bafbefore", b"x" * 100)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
kept = []
for n in range(200):
    for key, content in (
        (f"bafsmall{n}", b"s" * 5000), (f"baflarge{n}", b"l" * 500_000), (f"bafmiddle{n}", b"m" * 100_000)
    ):
        try:
            disk.put(key, content)
            kept.append(key)
        except TierError as error:
            print(type(error).__name__, key[:8])
assert sorted(disk.scan()) == sorted([*kept, "bafbefore"]), "scan"
for key in kept:
    answer = disk.get(key, None)
    data = answer if isinstance(answer, bytes) else answer.read()
    assert data == data[:1] * len(data) and len(data) in (5000, 500_000, 100_000), key
print("whole", len(kept))
"""


def test_a_limit_of_the_system_on_the_size_of_files(make: Make, child: Child, folder: Path) -> None:
    lines = set((child(LIMITED, folder).communicate()[0]).splitlines())
    assert "TierFull baflarge" in lines
    assert [line for line in lines if line.endswith("bafsmall")]
    assert not [line for line in lines if "bafmiddl" in line]
    assert [line for line in lines if line.startswith("whole")]
    assert make().get("bafbefore", None) == b"x" * 100


def disk_of(size: int, free: int) -> Callable[[str], SimpleNamespace]:
    return lambda path: SimpleNamespace(f_frsize=4096, f_blocks=size // 4096, f_bavail=free // 4096)


def test_a_store_without_capacity_stops_at_five_percent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    gigabyte = 1 << 30
    monkeypatch.setattr(os, "statvfs", disk_of(100 * gigabyte, 5 * gigabyte + 50_000))
    limited, free = make(capacity=None), make()
    cache, lower = make(role="cache", capacity=None), make(capacity=None, min_free=0.01)
    limited.put(KEY, b"x" * 40_000)
    for size in (60_000, 1 << 20):
        with pytest.raises(TierFull, match="capacity") as caught:
            limited.put(KEY, b"y" * size)
        assert not caught.value.retryable
        assert limited.get(KEY, None) == b"x" * 40_000
    for other in (free, cache, lower):
        other.put("bafother", b"y" * (1 << 20))
    monkeypatch.setattr(os, "statvfs", disk_of(100 * gigabyte, (16 << 20) + 4096))
    for other in (free, cache):
        with pytest.raises(TierFull, match=f"of which {16 << 20} stay free"):  # room to evict in
            other.put("bafother", b"y" * (1 << 20))
        assert other.evict("bafother") == (other is free)


def test_room_that_the_database_gave_up_is_used_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = make(role="cache")
    for n in range(200):
        disk.put(f"bafkey{n}", b"x" * 3000)
    monkeypatch.setattr(os, "statvfs", disk_of(1 << 30, 0))
    with pytest.raises(TierFull):
        disk.put("bafnew", b"x" * 3000)
    for n in range(200):
        assert disk.evict(f"bafkey{n}")
    disk.put("bafnew", b"x" * 3000)
    with pytest.raises(TierFull):
        disk.put("bafnew", BIG)


@pytest.fixture
def read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Makes the folder read-only: by its mode, by a mount for a user above modes, else by injection."""
    mounted: list[Path] = []

    def apply() -> None:
        if os.geteuid():
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)
            return
        bind = ["mount", "--bind", str(folder), str(folder)]
        if subprocess.run(bind, check=False, capture_output=True).returncode == 0:
            mounted.append(folder)
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
            return
        for name in ("mkdir", "rename", "unlink"):
            fails_with(monkeypatch, name, errno.EROFS)
        monkeypatch.setattr(os, "access", lambda path, mode: False)

        def refuse(*arguments: object) -> None:
            raise apsw.CantOpenError("unable to open database file")

        monkeypatch.setattr(apsw, "Connection", refuse)

    yield apply
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)
    if os.geteuid():
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_a_read_only_folder(make: Make, folder: Path, read_only: Callable[[], None]) -> None:
    before = make()
    before.put(KEY, b"x")
    before.put(KEY, BIG)
    before.close()
    made = before.identify(claim=False)
    read_only()
    disk = make()
    for call in (
        lambda: disk.get(KEY, None),
        lambda: disk.has("absent"),
        lambda: disk.put(KEY, b"x"),
        lambda: disk.put(KEY, BIG),
        lambda: disk.evict(KEY),
        lambda: disk.scan(),
        lambda: make(catalog="another").identify(claim=True),
        lambda: make(path=folder / "below").put(KEY, b"x"),
    ):
        with pytest.raises(TierDenied, match="read-write") as caught:
            call()
        assert str(folder) in str(caught.value)
    assert disk.identify(claim=False) == made  # who it is can be told all the same


def test_a_file_that_was_removed_is_absent(make: Make, folder: Path) -> None:
    disk = make()
    disk.put(KEY, BIG)
    (folder / "files" / "di" / KEY).unlink()
    assert disk.get(KEY, None) is None
    assert disk.stat(KEY) is None
    assert not disk.has(KEY)
    assert not disk.evict(KEY)
    assert list(disk.scan()) == []
    (folder / "files" / "di").rmdir()
    disk.put(KEY, BIG)
    assert disk.has(KEY)


@pytest.mark.parametrize("gone", ["files", "tmp"])
def test_a_folder_of_the_medium_that_was_removed(make: Make, folder: Path, gone: str) -> None:
    disk = make()
    disk.put(KEY, b"x")
    (folder / gone).rmdir()
    with pytest.raises(TierUnavailable, match=gone):
        disk.put(KEY, BIG)
    assert disk.get(KEY, None) == b"x"


def test_a_file_that_was_cut_short_is_not_passed_off_as_whole(make: Make, folder: Path) -> None:
    disk = make()
    disk.put(KEY, b"x" * (5 << 20))
    answer = disk.get(KEY, None)
    assert isinstance(answer, Blob)
    os.truncate(folder / "files" / "di" / KEY, 3 << 20)
    with answer, pytest.raises(TierUnavailable, match="cut short"):
        list(answer.chunks())


def damage_everywhere(path: Path) -> None:
    chance = random.Random(1)
    with path.open("r+b") as file:
        for place in range(0, path.stat().st_size, 512):
            file.seek(place)
            file.write(chance.randbytes(256))


@pytest.mark.parametrize(
    "damage",
    [
        damage_everywhere,
        lambda path: path.write_bytes(b"not a database, but long enough to look like one" * 300),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, path.stat().st_size // 2),
    ],
)
def test_a_damaged_database_never_answers_absent(
    make: Make, folder: Path, damage: Callable[[Path], None]
) -> None:
    disk = make(role="cache")
    for n in range(200):
        disk.put(f"bafkey{n}", b"x" * 3000)
    disk.close()
    for path in folder.glob("small.db-*"):
        path.unlink()
    damage(folder / "small.db")
    answers: set[object] = set()
    again = make()
    for n in range(200):
        try:
            answers.add(again.get(f"bafkey{n}", None))
        except TierUnavailable as error:
            answers.add(str(error))
    assert None not in answers
    assert [answer for answer in answers if str(folder) in str(answer)]
    with pytest.raises(TierUnavailable):
        list(again.scan())


def test_any_flipped_bit_in_the_database_is_an_answer_or_a_tier_error(make: Make, folder: Path) -> None:
    disk = make(role="cache")
    for n in range(20):
        disk.put(f"bafkey{n}", b"x" * 3000)
    disk.close()
    good = (folder / "small.db").read_bytes()
    chance = random.Random(2)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(3):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        for path in folder.glob("small.db-*"):
            path.unlink()
        (folder / "small.db").write_bytes(bad)
        again = make(role="cache")
        for n in range(20):
            with suppress(TierError):
                again.get(f"bafkey{n}", None)
                again.stat(f"bafkey{n}")
                again.put(f"bafkey{n}", b"y" * 3000)
        with suppress(TierError):
            list(again.scan())
        again.close()


def test_a_key_in_the_database_that_is_no_text(make: Make, folder: Path) -> None:
    disk = make()
    disk.put("bafkey1", b"x" * 3000)
    disk.close()
    path = folder / "small.db"
    path.write_bytes(path.read_bytes().replace(b"bafkey1", b"baf\xff\xfey1"))
    with pytest.raises(TierUnavailable, match="damaged"):
        list(make().scan())


def test_another_process_that_holds_the_database(make: Make, folder: Path) -> None:
    disk = make()
    disk.put(KEY, b"x")
    assert disk._copies is not None
    disk._copies._db._writer.set_busy_timeout(50)
    other = apsw.Connection(str(folder / "small.db"))
    other.execute("BEGIN IMMEDIATE")
    assert disk.get(KEY, None) == b"x"
    for call in (lambda: disk.put(KEY, b"y"), lambda: disk.put(KEY, BIG), lambda: disk.evict(KEY)):
        with pytest.raises(TierUnavailable, match="another process") as caught:
            call()
        assert caught.value.retryable
    assert disk.get(KEY, None) == b"x"
    assert not os.listdir(folder / "tmp")
    other.close()
    disk.put(KEY, b"y")


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_network(str(tmp_path))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "1 0 0:1 / / rw - fuse.sshfs me@there:/ rw")
    with pytest.raises(TierUnavailable, match=r"\(fuse\.sshfs\): use a folder on a local disk"):
        refuse_network(str(tmp_path / "new"))


def test_only_what_the_disk_raises_is_translated() -> None:
    errors = Translated("/folder")
    for error in (ValueError("x"), KeyError("x"), KeyboardInterrupt(), RecursionError("x")):
        assert errors.tell(error) is None
        with pytest.raises(type(error)), errors:
            raise error
    mine = RangeError("x")
    with pytest.raises(RangeError) as caught, errors:
        raise mine
    assert caught.value is mine
    for name in dir(apsw):
        kind = getattr(apsw, name)
        if isinstance(kind, type) and issubclass(kind, apsw.Error):
            told = errors.tell(kind("what"))
            assert told is not None
            assert "/folder" in str(told)
            assert "\n" not in str(told)
            assert str(told)[0] in "/n"
