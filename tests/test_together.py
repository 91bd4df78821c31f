"""Small puts of several threads, joined: each is answered for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziggurat.content import PROFILES
from ziggurat.content.sources import parcel_of
from ziggurat.engine.store import Store
from ziggurat.engine.together import Together
from ziggurat.engine.writer import Placement
from ziggurat.errors import NotDurable


class Desk:
    """A writer that waits on order, and fails on order."""

    def __init__(self) -> None:
        self.gate, self.inside = threading.Event(), threading.Event()
        self.batches: list[int] = []
        self.fails: list[BaseException] = []

    def put(self, parcel: Any) -> Placement:
        self.batches.append(1)
        self.inside.set()
        assert self.gate.wait(20)
        return Placement([str(parcel)])

    def put_many(self, parcels: list[Any]) -> list[Placement | Exception]:
        self.batches.append(len(parcels))
        if self.fails:
            raise self.fails.pop()
        return [NotDurable("no") if parcel.cid == "bad" else Placement([parcel.cid]) for parcel in parcels]


class Small:
    def __init__(self, cid: str) -> None:
        self.cid = cid


def joined(desk: Desk, cids: list[str]) -> dict[int, Any]:
    """Let the first put stand at the desk until all others wait, then let go."""
    together = Together(desk)  # type: ignore[arg-type]  # it only puts
    answers: dict[int, Any] = {}

    def work(number: int, cid: str) -> None:
        try:
            answers[number] = together.put(Small(cid)).tiers  # type: ignore[arg-type]  # it only has a CID
        except BaseException as error:  # noqa: BLE001 - of whatever kind, it is looked at below
            answers[number] = error

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in enumerate(cids)]
    threads[0].start()
    assert desk.inside.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(together._queue) < len(cids) - 1:
        threading.Event().wait(0.001)
    desk.gate.set()
    for thread in threads:
        thread.join(20)
    return answers


def test_those_who_wait_are_put_together_and_answered_each() -> None:
    desk = Desk()
    answers = joined(desk, ["first", "a", "b", "a", "bad"])
    assert desk.batches == [1, 3]
    assert answers[1] == answers[3] == ["a"]
    assert answers[2] == ["b"]
    assert isinstance(answers[4], NotDurable)


def test_a_failure_of_all_is_told_to_each() -> None:
    desk = Desk()
    desk.fails = [NotDurable("the catalog is full")]
    answers = joined(desk, ["first", "a", "b"])
    assert [str(answers[number]) for number in (1, 2)] == ["the catalog is full"] * 2
    assert answers[1] is not answers[2]


def test_an_interrupt_is_the_leaders_alone() -> None:
    desk = Desk()
    desk.fails = [KeyboardInterrupt()]
    answers = joined(desk, ["first", "a", "b", "c"])
    kinds = sorted(type(answers[number]).__name__ for number in (1, 2, 3))
    assert kinds == ["KeyboardInterrupt", "list", "list"]


def test_sixteen_threads_put_and_every_blob_is_kept(stack_of_disk: Callable[[], Store]) -> None:
    store = stack_of_disk()
    seen: list[tuple[Any, bytes]] = []

    def work(seed: int) -> None:
        for number in range(20):
            data = bytes([seed, number]) * (1 + seed * 37)
            seen.append((store.put(data).cid, data))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 320
    assert all(store.get(cid) == data for cid, data in seen)
    assert {str(root.cid) for root in store.roots()} == {str(cid) for cid, _ in seen}


@pytest.fixture
def stack_of_disk(tmp_path: Path) -> Any:
    opened: list[Store] = []

    def build() -> Store:
        from ziggurat.engine.store import open_store

        table = {"name": "a", "backend": "disk", "role": "store", "options": {"path": str(tmp_path / "a")}}
        opened.append(open_store({"store": {"path": str(tmp_path / "s")}, "tier": [table]}))
        return opened[-1]

    yield build
    for store in opened:
        store.close()


def test_only_what_is_small_and_at_hand_is_joined(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(2_000_000))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        profile = PROFILES["unixfs-v1-2025"]
        for source, takes in ((b"x", True), (bytes(70_000), False), (path, False)):
            with parcel_of(source, profile, spool=lambda: tmp_path, pool=pool) as parcel:
                assert Together.takes(parcel) is takes
