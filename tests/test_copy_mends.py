"""A copy mends: it is sent even where the tier says it has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ziggurat.engine.store import open_store


def test_a_copy_replaces_what_is_wrong(tmp_path: Path) -> None:
    def disk(name: str) -> dict[str, Any]:
        return {"name": name, "backend": "disk", "role": "store", "options": {"path": str(tmp_path / name)}}

    data = bytes(range(256)) * 12_000
    config = {"store": {"path": str(tmp_path / "s"), "min_copies": 2}, "tier": [disk("a"), disk("b")]}
    with open_store(config) as store:
        cid = store.put(data).cid
        (held,) = [
            one for one in (tmp_path / "a").rglob("*") if one.is_file() and one.stat().st_size == len(data)
        ]
        held.write_bytes(bytes(len(data)))
        assert [finding.ok for finding in store.verify(cid, tier="a")] == [False]
        assert store.copy(cid, "a").copies == ("a",)
        assert [finding.ok for finding in store.verify(cid)] == [True, True]
