"""Whatever a put reads: bytes, paths, files, iterables, and what changes meanwhile."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dag_backend import DagMedium
from tests.support.rigged import Rig, dag, store

from ziggurat.errors import (
    ContentMismatch,
)

from .blocks import DATA, Make


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
