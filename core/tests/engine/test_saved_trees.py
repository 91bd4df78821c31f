"""Blobs and trees saved to disk: names, symlinks, modes and times, and what stands there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.rigged import Rig, cache, store

from ziggurat.content import DAG_PB, RAW
from ziggurat.content.car import write_car
from ziggurat.content.varint import encode_varint
from ziggurat.errors import (
    MalformedContent,
    StoreError,
    ZigguratError,
)

from .blocks import DATA, Make, directory, over, symlink


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
