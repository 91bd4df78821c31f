"""kill -9: what was acknowledged is whole, what was not is counted and collected."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.children import blob, config
from tests.scenarios.programs import start

from ziggurat import open_store
from ziggurat.content import Cid
from ziggurat.engine.store import Store


def killed(name: str, folder: Path, seed: int, after: float, **more: Any) -> list[list[str]]:
    """What a child said until it was killed, `after` seconds from its first word."""
    child = start(name, folder, seed, **more)
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    out, err = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, err
    lines = (first + out).split("\n")
    return [line.split() for line in lines[:-1]]


def on_medium(folder: Path) -> dict[str, int]:
    """Key and bytes of everything a disk medium keeps, read past the backend."""
    if not (folder / "marker.json").exists():  # not made yet, or its maker was killed
        return {}
    with sqlite3.connect(f"file:{folder / 'small.db'}?mode=ro", uri=True) as database:
        held = dict(database.execute("SELECT key, length(data) FROM small").fetchall())
    database.close()
    for path in (folder / "files").rglob("*"):
        if path.is_file():
            held[path.name] = path.stat().st_size
    return held


def accounts_right(store: Store, folder: Path) -> None:
    catalog = store._parts.catalog
    assert catalog is not None
    for row in catalog.mediums():
        held = on_medium(folder / row.tier)
        assert row.used == sum(held.values()), row.tier
        assert catalog.reservations.reserved(row.identity) == 0


def check(store: Store, said: list[list[str]], kills: int) -> None:
    """Everything acknowledged is whole on both stores, after so many kills."""
    for kind, text, seed, number, size in said:
        cid, data = Cid.parse(text), blob(int(seed), int(number), int(size))
        if kind == "blob":
            assert store.get(cid) == data
        else:
            assert store.get(f"{cid}/large") == data
            for n in range(5):
                assert store.get(f"{cid}/sub/{n}") == blob(int(seed), int(number) * 1000 + n, 2000 * n)
    roots = {str(root.cid) for root in store.roots()}
    assert {line[1] for line in said} <= roots
    # At each kill one call may have ended without the time to say so; the largest call puts 20.
    assert len(roots) <= len({line[1] for line in said}) + 20 * kills


@pytest.mark.parametrize("seed", range(1, 5))
def test_killed_while_putting(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    said: list[list[str]] = []
    for round_ in range(3):
        said += killed("put", tmp_path, seed * 10 + round_, dice.uniform(0.01, 0.6))
        with open_store(config(tmp_path)) as store:
            check(store, said, kills=round_ + 1)
            catalog = store._parts.catalog
            assert catalog is not None
            for row in catalog.mediums():
                held = sum(on_medium(tmp_path / row.tier).values())
                assert row.used <= held <= row.used + catalog.reservations.reserved(row.identity)
            assert not (tmp_path / "catalog" / "spool").exists() or not list(
                (tmp_path / "catalog" / "spool").iterdir()
            )
            dry = store.gc(dry_run=True)
            assert store.gc() == dry
            assert not any(found.failed or found.refused for found in dry)
            accounts_right(store, tmp_path)
            for name in ("one", "two"):
                assert list((tmp_path / name / "tmp").iterdir()) == []
            findings = list(store.verify())
            assert all(finding.ok for finding in findings)
            reached = {str(finding.cid.key) for finding in findings}
            for name in ("one", "two"):
                kept = {key.partition(".")[0] for key in on_medium(tmp_path / name)}
                assert kept == reached, "gc left something that no root reaches, or took what one does"


def test_killed_while_a_full_store_is_put_to(tmp_path: Path) -> None:
    """What the dead put left counts against the capacity, so the capacity holds; then room is found again."""
    capacity = 12_000_000
    more = {"capacity": capacity, "copies": 1}
    for seed in range(5):
        killed("press", tmp_path, seed, 0.1 + seed / 20, **more)
        for name in ("one", "two"):
            if (tmp_path / name / "small.db").exists():
                assert sum(on_medium(tmp_path / name).values()) <= capacity
    with open_store(config(tmp_path, **more)) as store:
        store.put(b"so that the media are known")
        for root in list(store.roots()):
            store.remove(root.cid)
        store.gc()
        accounts_right(store, tmp_path)
        assert sum(on_medium(tmp_path / "one").values()) == 0
        assert store.put(bytes(11_000_000)).copies == ("one",)


def test_room_of_a_dead_put_is_found_without_gc(tmp_path: Path) -> None:
    """A put was noted and its process died before a byte arrived: the next put settles it and goes on."""
    more = {"capacity": 1000, "copies": 1}
    with open_store(config(tmp_path, **more)) as store:
        store.put(b"first")
        catalog = store._parts.catalog
        assert catalog is not None
        (medium,) = (row.identity for row in catalog.mediums())
        for number in range(3):
            note = catalog.reservations.reserve(medium, 300, 1000, str(Cid.of(bytes([number])).key))
            assert note is not None
    with open_store(config(tmp_path, **more)) as store:
        assert store.put(bytes(900)).copies == ("one",)
        accounts_right(store, tmp_path)


def test_killed_while_a_persistent_cache_is_filled(tmp_path: Path) -> None:
    capacity = 2_000_000
    more = {"cache": capacity, "copies": 1}
    with open_store(config(tmp_path, **more)) as store:
        for number in range(30):
            store.put(blob(1, number, 300_000))
    for round_ in range(6):
        killed("fill", tmp_path, 1, 0.02 + 0.05 * round_, **more)
        assert sum(on_medium(tmp_path / "ssd").values()) <= capacity
        with open_store(config(tmp_path, **more)) as store:
            used = store.stats().tiers[0].used
            assert used == sum(on_medium(tmp_path / "ssd").values())
            for number, root in enumerate(list(store.roots())):
                assert len(store.get(root.cid)) == 300_000, number
            store._parts.filler.drain()
            held = sum(on_medium(tmp_path / "ssd").values())
            assert held == store.stats().tiers[0].used
            assert held <= capacity


def test_a_smaller_capacity_holds_from_the_next_open_on(tmp_path: Path) -> None:
    with open_store(config(tmp_path, cache=2_000_000, copies=1)) as store:
        cids = [store.put(blob(1, number, 300_000)).cid for number in range(6)]
        for cid in cids:
            store.get(cid)
        store._parts.filler.drain()
        assert store.stats().tiers[0].entries == 6
    with open_store(config(tmp_path, cache=700_000, copies=1)) as store:
        assert sum(on_medium(tmp_path / "ssd").values()) == store.stats().tiers[0].used == 600_000
