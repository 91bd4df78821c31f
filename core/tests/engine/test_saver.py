"""What `save` and `export_car` leave in the local file system when something is in the way."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.rigged import Rig, store

from ziggurat import Cid, Store
from ziggurat.errors import StoreError

Make = Callable[..., Store]


def tree(folder: Path) -> Path:
    """A directory whose last file is the largest."""
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "first").write_bytes(b"first")
    (folder / "z").write_bytes(random.Random(3).randbytes(1000))
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_new_directory_appears_whole_or_not_at_all(make: Make, tmp_path: Path, out: Path) -> None:
    rig = Rig()
    stack = make(store("a", rig))
    source = tree(tmp_path / "source")
    root = stack.put_dir(source).cid
    last = stack.put(source / "z").cid
    rig.flip(last.key, 700)
    with pytest.raises(StoreError):
        stack.save(root, out / "back")
    assert names(out) == set()
    rig.flip(last.key, 700)
    seen: list[set[str]] = []
    stack.save(root, out / "back", progress=lambda _: seen.append(names(out)))
    assert seen
    assert not any("back" in before for before in seen)
    assert names(out) == {"back", "back/a", "back/a/first", "back/z"}


def test_an_interrupt_leaves_no_part_of_a_directory(make: Make, tmp_path: Path, out: Path) -> None:
    stack = make(store("a"))
    source = tree(tmp_path / "source")
    (source / "a" / "locked").mkdir()
    root = stack.put_dir(source).cid

    def interrupt(_: int) -> None:
        for folder in out.rglob("a"):
            folder.chmod(0o500)  # as a directory of UnixFS 1.5 may ask for
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack.save(root, out / "back", progress=interrupt)
    assert names(out) == set()


def test_a_directory_never_takes_the_place_of_what_came_meanwhile(
    make: Make, tmp_path: Path, out: Path
) -> None:
    stack = make(store("a"))
    root = stack.put_dir(tree(tmp_path / "source")).cid

    def come(_: int) -> None:
        (out / "back").write_bytes(b"mine")

    with pytest.raises(OSError, match="back"):
        stack.save(root, out / "back", progress=come)
    assert names(out) == {"back"}
    assert (out / "back").read_bytes() == b"mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["pipe", "link", "link to link"])
def test_a_device_or_a_pipe_is_never_replaced(make: Make, out: Path, name: str, overwrite: bool) -> None:
    stack = make(store("a"))
    cid = stack.put(b"content").cid
    os.mkfifo(out / "pipe")
    (out / "link").symlink_to("pipe")  # as /dev/stdout is one
    (out / "link to link").symlink_to("link")
    with pytest.raises(FileExistsError):
        stack.save(cid, out / name, overwrite=overwrite)
    with pytest.raises(FileExistsError, match="is no file"):
        stack.export_car(cid, out / name)
    assert stat.S_ISFIFO((out / "pipe").lstat().st_mode)
    assert (out / "link").readlink() == Path("pipe")
    assert names(out) == {"pipe", "link", "link to link"}


def test_a_link_among_the_devices_is_never_replaced(
    make: Make, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/stdout leads to a file while standard output does."""
    monkeypatch.setattr("ziggurat.engine.saver._DEVICES", out)
    (out / "file").write_bytes(b"mine")
    (out / "stdout").symlink_to("file")
    stack = make(store("a"))
    with pytest.raises(FileExistsError, match="is no file"):
        stack.save(stack.put(b"content").cid, out / "stdout", overwrite=True)
    assert (out / "stdout").is_symlink()


@pytest.mark.parametrize("leads", ["file", "folder", "nowhere"])
def test_any_other_symlink_is_replaced_itself(make: Make, out: Path, leads: str) -> None:
    stack = make(store("a"))
    cid = stack.put(b"content").cid
    (out / "file").write_bytes(b"mine")
    (out / "folder").mkdir()
    (out / "link").symlink_to(leads)
    stack.save(cid, out / "link", overwrite=True)
    assert (out / "link").read_bytes() == b"content"
    assert not (out / "link").is_symlink()
    assert (out / "file").read_bytes() == b"mine"
    assert names(out) == {"file", "folder", "link"}


def test_errors_name_what_the_caller_named(make: Make, tmp_path: Path, out: Path) -> None:
    stack = make(store("a"))
    cid = stack.put(b"content").cid
    (out / "file").write_bytes(b"mine")
    long = "x" * 300
    for target, named in (
        (out / "no" / "file", out / "no"),
        (out / "file" / "below", out / "file" / "below"),
        (out / long, out / long),
    ):
        for write in (stack.save, stack.export_car):
            with pytest.raises(OSError, match=r"make it first|Not a directory|too long") as caught:
                write(cid, target)
            assert caught.value.filename == str(named)
    root = stack.put_dir(tree(tmp_path / "source")).cid
    with pytest.raises(OSError, match="Not a directory"):
        stack.save(root, out / "file" / "below")
    assert names(out) == {"file"}


def test_a_long_name_is_written_like_any_other(make: Make, out: Path) -> None:
    stack = make(store("a"))
    cid: Cid = stack.put(b"content").cid
    stack.save(cid, out / ("x" * 255))
    stack.export_car(cid, out / ("ü" * 127))
    assert names(out) == {"x" * 255, "ü" * 127}


def test_a_file_system_without_hard_links(make: Make, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    stack = make(store("a"))
    cid = stack.put(b"content").cid
    monkeypatch.setattr(os, "link", no_link)
    stack.save(cid, out / "file")
    assert (out / "file").read_bytes() == b"content"
    with pytest.raises(FileExistsError):
        stack.save(cid, out / "file")
    assert names(out) == {"file"}
