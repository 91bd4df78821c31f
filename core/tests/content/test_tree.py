"""The walk of a directory: what it names, in which order, and what it refuses."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.content import (
    PROFILES,
    Cid,
    DirEntry,
    Profile,
    build_directory,
    build_symlink,
    import_stream,
)
from ziggurat.content.tree import TreeItem, open_regular, walk_directory
from ziggurat.errors import ContentMismatch, UnsupportedContent

PROFILE = next(iter(PROFILES.values()))
SMALL = evolve(PROFILE, chunk_size=4, max_links=2, hamt_threshold=100)

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
LINK = st.builds(lambda target: ("->", target), st.text("ab/.", min_size=1, max_size=6))
TREES = st.recursive(
    st.binary(max_size=40) | LINK,
    lambda children: st.dictionaries(NAMES, children, max_size=6),
    max_leaves=20,
).filter(lambda tree: isinstance(tree, dict))


def write(path: Path, tree: Any) -> None:
    if isinstance(tree, dict):
        path.mkdir()
        for name, child in tree.items():
            write(path / name, child)
    elif isinstance(tree, tuple):
        os.symlink(tree[1], path)
    else:
        path.write_bytes(tree)


def expect(tree: Any, profile: Profile, path: str = "") -> Iterator[tuple[str, Cid, int, int]]:
    """(path, CID, bytes, bytes of all blocks), bottom up: the model."""
    if isinstance(tree, dict):
        entries = []
        for name in sorted(tree, key=str.encode):
            *below, (_, cid, size, tsize) = expect(tree[name], profile, f"{path}/{name}")
            yield from below
            yield f"{path}/{name}", cid, size, tsize
            entries.append(DirEntry(name, cid, tsize, size))
        made: Any = build_directory(entries, profile)
    elif isinstance(tree, tuple):
        made = build_symlink(tree[1], profile)
    else:
        made = import_stream([tree], profile)
    yield path, made.root, made.size, made.tsize


@given(TREES)
@settings(deadline=None, max_examples=60)
def test_against_the_model(tree: dict[str, Any]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        write(folder / "root", tree)
        for profile in (SMALL, PROFILES["unixfs-v0-2015"]):
            found = [
                (f"/{item.path}" if item.path else "", item.cid, item.size, item.dag.tsize)
                for item in walk_directory(folder / "root", profile)
            ]
            assert found == list(expect(tree, profile))
    finally:
        shutil.rmtree(folder)


def test_a_file_can_be_read_again_until_the_next_item(tmp_path: Path) -> None:
    write(tmp_path / "d", {"a": b"first", "b": b"second"})
    walk = walk_directory(tmp_path / "d", PROFILE)
    first = next(walk)
    assert first.file is not None
    (tmp_path / "d" / "a").unlink()
    assert first.file.read() == b"first"
    second = next(walk)
    assert first.file.closed
    assert second.file is not None
    walk.close()  # type: ignore[attr-defined]  # a generator, for whoever stops early
    assert second.file.closed


def test_one_step_does_one_item(tmp_path: Path) -> None:
    write(tmp_path / "d", {"a": b"a", "b": b"b", "c": {}})
    walk = walk_directory(tmp_path / "d", PROFILE)
    next(walk)
    (tmp_path / "d" / "b").write_bytes(b"later")
    assert next(walk).size == 5


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    write(tmp_path / "d", {"a": b"x" * 5_000_000, "b": {"c": b"y" * 7}})
    seen: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        *_, root = walk_directory(tmp_path / "d", PROFILE, pool=pool, progress=seen.append)
    assert sum(seen) == root.size == 5_000_007


def test_a_deep_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(tmp_path)
    try:
        items = list(walk_directory("d", PROFILE))
        assert len(items) == 1200
        assert items[0].path.count("/") == 1198
    finally:  # shutil would run out of stack
        subprocess.run(["rm", "-rf", "d"], check=True)


def test_links_are_not_followed_but_the_root_is(tmp_path: Path) -> None:
    write(tmp_path / "d", {"loop": ("->", ".."), "odd": ("->", "a//b/"), "self": ("->", "self")})
    (tmp_path / "link").symlink_to("d")
    items = list(walk_directory(tmp_path / "link", PROFILE))
    assert [(item.type, item.target) for item in items] == [
        ("symlink", ".."),
        ("symlink", "a//b/"),
        ("symlink", "self"),
        ("directory", None),
    ]


def special(kind: str, path: Path) -> None:
    if kind == "a fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as made:
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's path is short
            made.bind(path.name)
            os.chdir(here)


@pytest.mark.parametrize("kind", ["a fifo", "a socket"])
def test_special_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "d", {"sub": {}})
    special(kind, tmp_path / "d" / "sub" / "odd")
    with pytest.raises(UnsupportedContent, match=f"sub/odd' is {kind}"):
        list(walk_directory(tmp_path / "d", PROFILE))


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"/\xff"))).write_bytes(b"")
    with pytest.raises(UnsupportedContent, match="not UTF-8; rename it"):
        list(walk_directory(tmp_path / "d", PROFILE))


def test_a_target_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "d", {})
    os.symlink(b"\xff", os.fsencode(tmp_path / "d") + b"/link")
    item = next(iter(walk_directory(tmp_path / "d", PROFILE)))
    assert item.target == os.fsdecode(b"\xff")


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "d", {"secret": b"x"})

    def broken(fd: int) -> Callable[[int, int], bytes]:
        def read(offset: int, size: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        return read

    monkeypatch.setattr("ziggurat.content.tree.file_reader", broken)
    with pytest.raises(OSError, match="d/secret'"):
        list(walk_directory(tmp_path / "d", PROFILE))


def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    write(tmp_path / "f", b"x")
    with pytest.raises(NotADirectoryError, match="f'"):
        list(walk_directory(tmp_path / "f", PROFILE))
    with pytest.raises(FileNotFoundError, match="none'"):
        list(walk_directory(tmp_path / "none", PROFILE))


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    write(tmp_path / "d", {"a": b"", "log": b"x" * 100})
    walk = walk_directory(tmp_path / "d", evolve(PROFILE, chunk_size=10))

    def shrink(_: int) -> None:
        (tmp_path / "d" / "log").write_bytes(b"")

    walk = walk_directory(tmp_path / "d", evolve(PROFILE, chunk_size=1), progress=shrink)
    (tmp_path / "d" / "log").write_bytes(b"x" * 100_000)
    with pytest.raises(ContentMismatch, match="log': the source changed"):
        list(walk)


def test_a_fifo_that_takes_the_place_of_a_file_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    before = path.lstat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "lstat", lambda self: before)
    with pytest.raises(UnsupportedContent, match="a fifo"):
        open_regular(path)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(path)


def test_an_item_has_no_equality_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "d", {})
    (first,), (second,) = (list(walk_directory(tmp_path / "d", PROFILE)) for _ in range(2))
    assert isinstance(first, TreeItem)
    assert first.cid == second.cid
