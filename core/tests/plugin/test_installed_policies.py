"""Policies of others, found by their entry points and named in a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziggurat import open_store
from ziggurat.cli import main
from ziggurat.config import load
from ziggurat.errors import ConfigError, PluginError

LARGEST = """
from attrs import frozen
from ziggurat.policy import Forecast, PolicyType

class LargestFirst:
    def rank(self, rows, now):
        return sorted(rows, key=lambda row: -row.size)

    def forecast(self, row, now):
        return Forecast(value=-row.size, next_use=None, unit="seconds")

@frozen
class Parameters:
    pass

policy = PolicyType("largest", "the largest goes first", Parameters, ranker=lambda *given: LargestFirst())
"""

GROUP = {"group": "ziggurat.policies"}


def stack(folder: Path, policy: str, backend: str = "disk") -> dict[str, Any]:
    options = {"path": str(folder / "cache")} if backend == "disk" else {}
    return {
        "store": {"path": str(folder / "catalog")},
        "tier": [
            {
                "name": "near",
                "backend": backend,
                "role": "cache",
                "capacity": 3000,
                "policy": policy,
                "options": options,
            },
            {"name": "far", "backend": "disk", "role": "store", "options": {"path": str(folder / "far")}},
        ],
    }


def test_it_decides_what_a_cache_keeps_and_what_is_simulated(
    install: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("my-policies", {"largest": "fake_largest:policy"}, {"fake_largest": LARGEST}, **GROUP)
    with open_store(stack(tmp_path, "largest")) as store:
        small = [store.put(bytes([number]) * 500).cid for number in range(4)]
        large = store.put(b"x" * 2000).cid
        for cid in (large, *small):
            store.get(cid)
            store._stack().filler.drain()
        held = {each.key for cid in (large, *small) for each in store.explain(cid).expected}
        assert len(held) == 4, "the largest went for the small ones"
        assert store.stats().tiers[0].policy == "largest"
        assert store.explain(small[0]).expected[0].value == -500
    trace = tmp_path / "t.csv"
    trace.write_text("".join(f"{at},k{at % 7},{100 + at % 7}\n" for at in range(100)))
    for name in ("largest", "my-policies:largest"):
        assert main(["simulate", "--trace", str(trace), "--capacity", "400", "--policy", name, "--json"]) == 0
        assert '"policy":"largest"' in capsys.readouterr().out


def test_one_that_a_tier_cannot_use_is_refused_with_the_reason(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install("my-policies", {"largest": "fake_largest:policy"}, {"fake_largest": LARGEST}, **GROUP)
    with pytest.raises(ConfigError, match="'largest' only ranks the rows of a catalog"):
        load(stack(tmp_path, "largest", "memory"))


def test_two_of_one_name_are_told_apart(install: Callable[..., Path], tmp_path: Path) -> None:
    for dist in ("one", "two"):
        install(dist, {"largest": f"fake_{dist}:policy"}, {f"fake_{dist}": LARGEST}, site=dist, **GROUP)
    with pytest.raises((ConfigError, PluginError), match=r"one 1\.2\.3 and two 1\.2\.3"):
        load(stack(tmp_path, "largest"))
    policy = load(stack(tmp_path, "two:largest")).tiers[0].policy
    assert policy is not None
    assert policy.provider.distribution == "two"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_library", "no_such_library"),
        ("policy = 7", "it is a int, not a ziggurat.policy.PolicyType"),
        ("other = 7", "policy"),
        (LARGEST.replace("ranker=lambda *given: LargestFirst()", ""), "neither an index nor a ranker"),
        (LARGEST.replace("@frozen", ""), "not an attrs class"),
    ],
)
def test_a_broken_one_is_blamed_and_harms_nobody_else(
    install: Callable[..., Path], tmp_path: Path, source: str, expected: str
) -> None:
    install("bad-policies", {"bad": "fake_bad:policy"}, {"fake_bad": source}, **GROUP)
    with pytest.raises((ConfigError, PluginError), match="bad-policies") as caught:
        load(stack(tmp_path, "bad"))
    assert expected in str(caught.value)
    assert load(stack(tmp_path, "heat")).tiers[0].policy is not None
