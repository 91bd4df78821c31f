"""A reader that looks exactly while a blob crosses over between row and file, and back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from ziggurat.backend import Blob
from ziggurat_disk import Disk

Make = Callable[..., Disk]
Read = Callable[[bytes | Blob | None], bytes | None]
KEY = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
ROW, FILE = b"r" * 10, b"f" * 2000


class Meddler:
    """Crosses the blob over right before a reader's steps, as a faster process could."""

    def __init__(self, disk: Disk, other: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
        copies = disk._copies
        assert copies is not None
        self.times = 0
        file_steps, row_steps = iter(range(100)), iter(range(100))

        def before_a_file(name: str) -> None:
            real = getattr(copies._files, name)

            def call(*arguments: object) -> object:
                if next(file_steps) < 2:  # the row was looked for in vain: now the blob becomes one
                    other.put(KEY, ROW)
                    self.times += 1
                return real(*arguments)

            monkeypatch.setattr(copies._files, name, call)

        before_a_file("read")
        before_a_file("size")
        row = copies._row

        def before_a_row(statement: str, key: str) -> tuple[Any, int]:
            if next(row_steps) == 0:  # and a file again, before the second look
                other.put(KEY, FILE)
                self.times += 1
            return row(statement, key)

        monkeypatch.setattr(copies, "_row", before_a_row)


@pytest.mark.parametrize(
    "look",
    [
        lambda disk: disk.get(KEY, None) is not None,
        lambda disk: disk.stat(KEY) is not None,
        lambda disk: disk.has(KEY),
        lambda disk: disk.evict(KEY),
    ],
    ids=["get", "stat", "has", "evict"],
)
def test_what_crosses_over_twice_during_a_look_is_not_absent(
    make: Make, monkeypatch: pytest.MonkeyPatch, look: Callable[[Disk], bool]
) -> None:
    disk, other = make(small=1000), make(small=1000)
    other.put(KEY, FILE)
    disk.has(KEY)
    meddler = Meddler(disk, other, monkeypatch)
    assert look(disk)
    assert meddler.times == 3


def test_a_blob_is_counted_as_moved_only_when_it_moves(make: Make) -> None:
    disk = make(small=1000)
    disk.put(KEY, FILE)
    assert disk._copies is not None
    counts = [disk._copies._moves()]
    for content in (FILE, ROW, ROW, FILE, FILE):
        disk.put(KEY, content)
        counts.append(disk._copies._moves())
    disk.evict(KEY)
    counts.append(disk._copies._moves())
    assert [after - before for before, after in pairwise(counts)] == [0, 1, 0, 1, 0, 0]
