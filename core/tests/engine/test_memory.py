"""Room for large results: zeroed, of the very size, in large pages where there are some."""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ziggurat.engine import memory
from ziggurat.engine.memory import room_for

MIB = 1 << 20
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    memory._advise.cache_clear()
    yield
    memory._advise.cache_clear()


def advised(address: int) -> bool:
    """Whether large pages were asked for at an address: the flag "hg" of proc_pid_smaps(5)."""
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if span := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            here = int(span[1], 16) <= address < int(span[2], 16)
        elif here and line.startswith("VmFlags:"):
            return "hg" in line.split()
    raise AssertionError("no such mapping")


@pytest.mark.parametrize("size", [0, 1, 4095, 4 * MIB - 1, 4 * MIB, 40 * MIB + 1])
def test_it_is_zeroed_of_the_size_and_given_without_a_copy(size: int) -> None:
    room = room_for(size)
    with room.getbuffer() as view:
        assert len(view) == size
        assert view.tobytes().count(0) == size
        view[-1:] = b"x"[:size]
        before = ctypes.addressof(ctypes.c_char.from_buffer(view)) if size else 0
    data = room.getvalue()
    assert len(data) == size
    assert data[-1:] == b"x"[:size]
    if size > 1:  # there is one object for each single byte
        assert ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value == before


def test_large_room_is_asked_for_in_large_pages() -> None:
    if not PAGES.exists():  # a kernel without, or not Linux: there is nothing to ask for
        assert room_for(64 * MIB).getvalue() == bytes(64 * MIB)
        return
    room = room_for(64 * MIB)
    with room.getbuffer() as view:
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
        assert advised(address + MIB)


def test_a_system_without_large_pages_gives_room_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert memory._advise() is None
    assert room_for(5 * MIB).getvalue() == bytes(5 * MIB)


def test_a_python_that_cannot_call_its_c_library_gives_room_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: object) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert memory._advise() is None
    assert room_for(5 * MIB).getvalue() == bytes(5 * MIB)


def test_no_room_is_an_error() -> None:
    with pytest.raises((MemoryError, OverflowError)):
        room_for(1 << 62)
