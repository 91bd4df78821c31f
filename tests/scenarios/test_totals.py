"""What `stats` adds up over processes: exactly what they said, and of the killed what they had told."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import asdict
from tests.scenarios.children import blob, config, counts
from tests.scenarios.programs import outputs, start

from ziggurat import open_store
from ziggurat.engine.store import Store

MORE = {"copies": 1, "cache": 100_000}


def filled(folder: Path) -> str:
    """Make a stack; gives the counts of that."""
    with open_store(config(folder, **MORE)) as store:
        for number in range(60):
            store.put(blob(9, number, 1000 + number * 37 % 9000))
        return counts(store)


def added(texts: list[str]) -> dict[str, Any]:
    sums: dict[str, Counter[str]] = {}
    for text in texts:
        for tier, numbers in json.loads(text).items():
            sums.setdefault(tier, Counter()).update(numbers)
    return {tier: dict(numbers) for tier, numbers in sums.items()}


def totals(store: Store) -> dict[str, Any]:
    found = {}
    for tier in store.stats().tiers:
        assert tier.total is not None
        found[tier.tier] = {
            name: value for name, value in asdict(tier.total).items() if name not in ("aged", "age")
        }
    return found


def test_counts_of_processes_add_up_exactly(tmp_path: Path) -> None:
    said = [filled(tmp_path)]
    said += outputs([start("tally", tmp_path, seed, **MORE) for seed in range(3)])
    with open_store(config(tmp_path, **MORE)) as store:
        said.append(counts(store))
        found = totals(store)
        assert found == added(said)
        assert found["ssd"]["hits"] > 200
        assert found["ssd"]["evictions"] > 0
        assert found["one"]["bytes_written"] > 60_000
        cache = store.stats().tiers[0]
        assert cache.total is not None
        assert cache.total.evicted_age is not None, "of others: this process evicted nothing"
        assert cache.evicted_age is None


def test_a_killed_process_loses_what_it_had_not_told_and_breaks_nothing(tmp_path: Path) -> None:
    said = [filled(tmp_path)]
    for seed in range(2):
        child = start("tell_and_go_on", tmp_path, seed, **MORE)
        assert child.stdout is not None
        said.append(child.stdout.readline())
        assert child.stdout.readline() == "more\n"
        child.send_signal(signal.SIGKILL)
        _, err = child.communicate(timeout=60)
        assert child.returncode == -signal.SIGKILL, err
    with open_store(config(tmp_path, **MORE)) as store:
        found = totals(store)
        assert found == added([*said, counts(store)])
        store.get(next(store.roots()).cid)
        assert not store.failures()
