"""``simulate`` and ``advise`` over real configurations and real traces."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import evolve

from ziggurat import open_store
from ziggurat.cli._plot import svg_plot, text_plot
from ziggurat.cli.look import _expected
from ziggurat.engine.advice import Advice
from ziggurat.engine.records import Expectation

STACK = """
[store]
path = "catalog"
access_log = true
[[tier]]
name = "ram"
backend = "memory"
capacity = 20000
cost = { latency = 0.001 }
[[tier]]
name = "ssd"
backend = "disk"
role = "cache"
capacity = 60000
options = { path = "ssd" }
[[tier]]
name = "far"
backend = "disk"
role = "store"
options = { path = "far" }
cost = { latency = "100 ms", per_request = 0.001, per_gb_out = 2.0 }
"""


@pytest.fixture
def place(run: Callable[..., Any]) -> Path:
    """The current folder, with a stack and a trace."""
    Path("ziggurat.toml").write_text(STACK)
    rng = random.Random(1)
    rows = (f"{at},k{min(int(rng.paretovariate(0.6)), 10**6) % 400},{500},get\n" for at in range(6000))
    Path("t.csv").write_text("time,key,size,op\n" + "".join(rows))
    return Path.cwd()


def test_one_cache(run: Callable[..., Any], place: Path) -> None:
    done = run("simulate", "--trace", "t.csv", "--capacity", "20 kB", "--policy", "lru", "--json")
    assert done.code == 0, done.err
    (record,) = done.records
    (tier,) = record["tiers"]
    assert tier["policy"] == "lru"
    assert tier["capacity"] == 20_000
    assert record["requests"] == 6000
    assert record["bytes"] == 3_000_000
    assert tier["object_miss_ratio"] == record["object_miss_ratio"] == (6000 - tier["hits"]) / 6000
    assert record["byte_miss_ratio"] == pytest.approx(record["object_miss_ratio"])
    assert tier["bytes_fetched"] == 500 * (6000 - tier["hits"])
    assert record["latency"] is None
    assert record["bill"] is None
    text = run("simulate", "--trace", "t.csv", "--capacity", "20000", "--policy", "lru").text
    assert f"{tier['object_miss_ratio']:.4f}" in text


@pytest.mark.parametrize("policy", ["arc", "heat", "lru", "s3fifo", "heat-score"])
def test_every_policy_and_both_kinds(run: Callable[..., Any], place: Path, policy: str) -> None:
    done = run("simulate", "--trace", "t.csv", "--capacity", "50 kB", "--policy", policy, "--json")
    assert done.code == 0, done.err
    assert 0 < done.records[0]["object_miss_ratio"] < 1
    again = run("simulate", "--trace", "t.csv", "--capacity", "50 kB", "--policy", policy, "--json")
    assert again.text == done.text
    lasting = run("simulate", "--trace", "t.csv", "--capacity", "50 kB", "--policy", policy, "--persistent")
    assert lasting.code == (2 if policy in ("arc", "s3fifo") else 0) or "no ranker" in lasting.err


def test_the_stack_with_its_costs(run: Callable[..., Any], place: Path) -> None:
    (record,) = run("simulate", "--trace", "t.csv", "--json").records
    ram, ssd, far = record["tiers"]
    assert [ram["policy"], ssd["policy"], far["policy"]] == ["arc", "heat", None]
    assert ram["requests"] == 6000
    assert ssd["requests"] == 6000 - ram["hits"]
    assert far["requests"] == ssd["requests"] - ssd["hits"]
    assert far["hits"] == far["requests"]
    bytes_out = far["requests"] * 500
    assert record["bill"] == pytest.approx(far["requests"] * 0.001 + bytes_out / 1e9 * 2.0)
    assert record["latency"] == pytest.approx((6000 * 0.001 + far["requests"] * 0.1) / 6000)
    assert not (place / "catalog").exists(), "nothing is opened"


def test_a_policy_that_is_recommended_instead_of_a_table_says_so(
    run: Callable[..., Any], place: Path
) -> None:
    tuned = 'capacity = 60000\npolicy = { name = "heat-score", recency_weight = 0.0 }'
    Path("ziggurat.toml").write_text(STACK.replace("capacity = 60000", tuned))
    ram, ssd = (
        record for record in run("advise", "--trace", "t.csv", "--json").records if "points" in record
    )
    assert (ram["tuned"], ssd["tuned"]) == (False, True)
    advice = Advice("ssd", "heat-score", 9, 9, (), "heat", 9, "better", tuned=True)
    assert advice.lines == ('policy = "heat"  # instead of the table [tier.policy] or policy = {...}',)
    assert tomllib.loads(advice.lines[0]) == {"policy": "heat"}
    assert evolve(advice, tuned=False).lines == ('policy = "heat"',)


def test_the_stores_own_log(run: Callable[..., Any], place: Path) -> None:
    before = run("simulate")
    assert before.code != 0
    assert "access_log = true" in before.err
    with open_store(place / "ziggurat.toml") as store:
        cids = [store.put(bytes([number]) * 2000).cid for number in range(30)]
        for number in range(900):
            store.get(cids[number * number % 30])
    (record,) = run("simulate", "--json").records
    assert record["requests"] == 900
    assert record["bytes"] == 900 * 2000
    advice = run("advise", "--json", "--policy", "lru")
    assert advice.code == 0, advice.err
    assert [one["tier"] for one in advice.records] == ["ram", "ssd"]


def test_advice_names_lines_that_the_configuration_takes(run: Callable[..., Any], place: Path) -> None:
    done = run("advise", "--trace", "t.csv", "--plot", "m.svg", "--json")
    assert done.code == 0, done.err
    ram, ssd = (record for record in done.records if "points" in record)
    assert {point["policy"] for point in ram["points"]} == {"arc", "heat", "lru", "s3fifo"}
    assert {point["policy"] for point in ssd["points"]} == {"heat", "heat-score", "lru"}
    assert {point["capacity"] for point in ram["points"]} == {5000, 10_000, 20_000, 40_000, 80_000}
    for policy in ("arc", "lru"):
        curve = [point["byte_miss_ratio"] for point in ram["points"] if point["policy"] == policy]
        assert curve == sorted(curve, reverse=True), "more room never misses more here"
    text = Path("ziggurat.toml").read_text()
    for line in ram["lines"]:
        key = line.partition(" ")[0]
        text = text.replace("capacity = 20000", line) if key == "capacity" else text.replace(
            "capacity = 20000", f"capacity = 20000\n{line}"
        )  # fmt: skip
    Path("new.toml").write_text(text)
    assert run("config", "check", "--config", "new.toml").code == 0
    for name in ("m.svg", "m-ssd.svg"):
        root = ElementTree.parse(name).getroot()
        assert root.tag.endswith("svg")
        assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) in (3, 4)
    shown = run("advise", "--trace", "t.csv", "--last", "2000").text
    assert "half" in shown
    assert "twice" in shown
    assert "ram: 2000 reads" in shown


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("simulate", "--trace", "t.csv", "--policy", "lru"), "--capacity"),
        (("simulate", "--trace", "t.csv", "--capacity", "0"), "more than 0"),
        (("simulate", "--trace", "t.csv", "--capacity", "much"), "much"),
        (("simulate", "--trace", "t.csv", "--capacity", "1 kB", "--policy", "acr"), "acr"),
        (("simulate", "--trace", "nowhere.csv"), "nowhere.csv"),
        (("simulate", "--trace", "ziggurat.toml"), "line 2"),
        (("advise", "--trace", "t.csv", "--policy", "acr"), "acr"),
    ],
)
def test_what_cannot_be_is_said(
    run: Callable[..., Any], place: Path, args: tuple[str, ...], said: str
) -> None:
    done = run(*args)
    assert done.code != 0
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_stack_without_caches_has_nothing_to_advise_on(run: Callable[..., Any], place: Path) -> None:
    far = STACK[STACK.index('[[tier]]\nname = "far"') :]
    Path("ziggurat.toml").write_text(far)
    assert "no cache" in run("advise", "--trace", "t.csv").err
    (record,) = run("simulate", "--trace", "t.csv", "--json").records
    assert record["object_miss_ratio"] == 1.0
    assert record["tiers"][0]["requests"] == 6000


def test_plots_hold_flat_curves_and_odd_names() -> None:
    flat = {"<&>": [(1.0, 0.5)], "b": [(1.0, 0.5)]}
    lines = text_plot(flat)
    assert any("=" in line for line in lines)
    drawn = svg_plot(flat, title="<t>", x_label="x", y_label="y", ticks=[(1.0, "1 B")])
    ElementTree.fromstring(drawn)
    assert "&lt;&amp;&gt;" in drawn
    json.dumps(lines)


@pytest.mark.parametrize(("next_use", "shown"), [(0.00177, "0.0018 s"), (2.0, "2 s"), (86400.4, "86,400 s")])
def test_a_next_use_within_a_second_is_shown(next_use: float, shown: str) -> None:
    (line,) = _expected([Expectation("ssd", "heat", "key", 0.5, next_use, "seconds", 6, 7)])
    assert line == (
        f"ssd (heat) values its coldest block 0.5, next use expected in {shown}; "
        "of 7 neighbours 6 would go before it"
    )


def test_explain_shows_the_score_as_it_is_configured(run: Callable[..., Any], place: Path) -> None:
    table = "[store.heat]\nfrequency_weight = 4.0\nrecency_weight = 0.5\nboost = 7.0\nfrequency_power = 2.0\n"
    Path("ziggurat.toml").write_text(table + STACK)
    with open_store("ziggurat.toml") as store:
        cid = store.put(b"x" * 1000).cid
        for _ in range(3):
            store.get(cid)
        heat = store.explain(cid).heat
    assert heat is not None
    assert (heat.frequency_weight, heat.recency_weight, heat.boost_factor) == (4.0, 0.5, 7.0)
    assert heat.frequency_factor == pytest.approx(4.0)
    weighed = heat.frequency_factor * 4.0 + heat.recency * 0.5
    assert heat.score == pytest.approx(weighed * 7.0 * heat.age_factor)
    shown = run("config", "show", "--origin", "--json").records
    found = {each["key"]: each["value"] for each in shown}
    assert found["store.heat.boost"] == "7.0"
    assert found["store.heat.half_life"] == "24 h"


@pytest.mark.parametrize("name", ["curve.png", "curve", "curve.SVGZ"])
def test_only_svg_is_drawn(run: Callable[..., Any], place: Path, name: str) -> None:
    done = run("advise", "--trace", "t.csv", "--plot", name)
    assert done.code == 2
    assert "draws SVG" in done.err
    assert not Path(name).exists()


@pytest.mark.parametrize("command", [["simulate", "--capacity", "1 kB"], ["advise"]])
def test_an_unknown_policy_is_named_with_those_that_are_there(
    run: Callable[..., Any], place: Path, command: list[str]
) -> None:
    done = run(*command, "--trace", "t.csv", "--policy", "heet")
    assert done.code == 3
    assert (
        "the policy 'heet'; did you mean 'heat'?; installed: arc, heat, heat-score, lru, s3fifo" in done.err
    )
