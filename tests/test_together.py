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
    """A writer that waits for a sign."""

    def __init__(self) -> None:
        self.gate, self.inside = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def put(self, parcel: Any) -> Placement:
        self.batches.append([parcel.cid])
        self.inside.set()
        assert self.gate.wait(20)
        return Placement([parcel.cid])

    def put_many(self, parcels: list[Any]) -> list[Placement | Exception]:
        self.batches.append([parcel.cid for parcel in parcels])
        return [NotDurable("no") if parcel.cid == "bad" else Placement([parcel.cid]) for parcel in parcels]


class Small:
    def __init__(self, cid: str) -> None:
        self.cid = cid


def test_the_same_content_is_put_once_and_each_is_answered() -> None:
    desk = Desk()
    together = Together(desk)  # type: ignore[arg-type]  # it only puts
    answers: dict[int, Any] = {}

    def work(number: int, cid: str) -> None:
        try:
            answers[number] = together.put(Small(cid)).tiers  # type: ignore[arg-type]  # it only has a CID
        except NotDurable as error:
            answers[number] = error

    threads = [
        threading.Thread(target=work, args=item, daemon=True)
        for item in enumerate(["first", "a", "b", "a", "bad", "bad"])
    ]
    threads[0].start()
    assert desk.inside.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(together._group._queue) < 5:
        threading.Event().wait(0.001)
    desk.gate.set()
    for thread in threads:
        thread.join(20)
    assert [sorted(batch) for batch in desk.batches] == [["first"], ["a", "b", "bad"]]
    assert answers[1] == answers[3] == ["a"]
    assert answers[2] == ["b"]
    assert isinstance(answers[4], NotDurable)
    assert answers[4] is not answers[5], "raised in two threads"


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
