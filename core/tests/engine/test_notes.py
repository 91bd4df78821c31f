"""Notes: what a put returned comes back with the get and the evict of that very key."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.support.rigged import Rig, Rigged, rig_type, store

from ziggurat import Store
from ziggurat.backend import Blob, ByteRange, Context, Dag, Evicted, Info, Key, Stat, hookimpl
from ziggurat.tiers import StoreTier

Make = Callable[..., Store]
DATA = random.Random(3).randbytes(500)


class Noting:
    """Gives every put a note of its own, and remembers which note came with which key."""

    def __init__(self, options: Any, context: Context) -> None:
        self.inner, self.rig = Rigged(options, context), options.rig
        self.notes: dict[str, bytes] = {}
        self.came: list[tuple[str, str, bytes | None]] = []
        self._numbers = count()

    @hookimpl
    def get(self, key: str, byte_range: ByteRange | None, note: bytes | None) -> bytes | Blob | None:
        self.came.append(("get", str(key), note))
        return self.inner.get(key, byte_range)

    @hookimpl
    def put(self, key: str, content: bytes | Blob | Dag) -> Stat:
        self.notes[str(key)] = f"{next(self._numbers)} {key}".encode()
        return evolve(self.inner.put(key, content), note=self.notes[str(key)])

    @hookimpl
    def evict(self, key: str, note: bytes | None) -> bool | Evicted:
        self.came.append(("evict", str(key), note))
        return self.inner.evict(key)

    @hookimpl
    def has(self, key: str) -> bool:
        return self.inner.has(key)

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        return self.inner.stat(key)


class NotingMany(Noting):
    @hookimpl
    def put_many(self, items: Sequence[tuple[Key, bytes | Blob | Dag, Info | None]]) -> list[Stat]:
        return [self.put(key, content) for key, content, _ in items]


def noting(kind: type[Noting] = Noting, rig: Rig | None = None) -> tuple[StoreTier, Noting]:
    tier = store("a", rig, kind=evolve(rig_type(), factory=kind))
    assert isinstance(tier.plugin, Noting)
    return tier, tier.plugin


def check(backend: Noting, *ops: str) -> None:
    """Every key that is held came with its own note, one that is not held with none."""
    asked = [(op, key, note) for op, key, note in backend.came if op in ops]
    assert asked
    for _, key, note in asked:
        assert note == backend.notes.get(key), key


@pytest.mark.parametrize("kind", [Noting, NotingMany])
def test_notes_of_a_file_a_block_and_a_directory_come_back(
    make: Make, tmp_path: Path, kind: type[Noting]
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "file").write_bytes(DATA)
    tier, backend = noting(kind)
    path = tmp_path / "store"
    stack = make(tier, path=path)
    put = [stack.put(DATA[:300]).cid, stack.put(b"small").cid, stack.put_dir(folder).cid]
    put += [receipt.cid for receipt in stack.put_many([DATA[:100], DATA[:200]])]  # type: ignore[union-attr]  # none fails
    assert stack.get(put[0]) == DATA[:300]
    assert stack.get(put[1]) == b"small"
    assert stack.get(f"{put[2]}/file") == DATA
    check(backend, "get")
    assert any(key.endswith(".nodes") for _, key, _ in backend.came)
    for cid in put:
        stack.remove(cid)
    stack.gc()
    assert not backend.rig.held
    check(backend, "evict")


def test_nodes_that_were_built_again_have_a_new_note(make: Make) -> None:
    tier, backend = noting()
    stack = make(tier)
    cid = stack.put(DATA).cid
    before = backend.notes[cid.nodes_key]
    backend.rig.flip(cid.nodes_key, 200)
    assert stack.get(cid) == DATA
    assert backend.notes[cid.nodes_key] != before, "they were put again"
    stack.remove(cid)
    stack.gc()
    check(backend, "evict")
