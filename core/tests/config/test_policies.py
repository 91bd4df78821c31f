"""``policy`` and ``[tier.cost]``: names, parameters, refusals that say why, and what schema and show say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import evolve, field, frozen, validators

from ziggurat.config import StackConfig, load, schema, show
from ziggurat.config.model import Cost
from ziggurat.errors import ConfigError
from ziggurat.plugin.registry import POLICIES, Registry
from ziggurat.policy import PolicyType
from ziggurat.policy.heat import HeatParameters
from ziggurat.policy.score import ScoreParameters

from .conftest import ARCHIVE

RAM = '[[tier]]\nname = "ram"\nbackend = "memory"\n'
SSD = '[[tier]]\nname = "ssd"\nbackend = "disk"\nrole = "cache"\noptions = { path = "ssd" }\n'


def test_each_kind_of_cache_has_its_default(read: Callable[..., StackConfig]) -> None:
    ram, ssd, archive = read(RAM + SSD + ARCHIVE).tiers
    assert ram.policy is not None
    assert ram.policy.provider.name == "arc"
    assert ssd.policy is not None
    assert ssd.policy.provider.name == "heat"
    assert archive.policy is None


def test_a_policy_is_a_name_or_a_table(read: Callable[..., StackConfig]) -> None:
    ram, ssd, _ = read(
        f'{RAM}policy = "lru"\n{SSD}policy = {{ name = "heat", misses = 0.5, guard = false }}\n{ARCHIVE}'
    ).tiers
    assert ram.policy is not None
    assert ram.policy.type.name == "lru"
    assert ssd.policy is not None
    assert ssd.policy.parameters == HeatParameters(misses=0.5, guard=False)


def test_a_policy_may_come_from_the_environment_and_name_its_distribution(
    read: Callable[..., StackConfig],
) -> None:
    text = RAM + 'policy = { name = { env = "KEEP" } }\n' + SSD + 'policy = "ziggurat:lru"\n' + ARCHIVE
    ram, ssd, _ = read(text, KEEP="s3fifo").tiers
    assert ram.policy is not None
    assert ram.policy.type.name == "s3fifo"
    assert ssd.policy is not None
    assert ssd.policy.type.name == "lru"
    (first, *_) = read(RAM + 'policy = { env = "KEEP" }\n' + ARCHIVE, KEEP="lru").tiers
    assert first.policy is not None
    assert first.policy.type.name == "lru"


def test_the_heat_score_is_configured_once_and_per_tier(read: Callable[..., StackConfig]) -> None:
    text = (
        '[store.heat]\nhalf_life = "2 h"\nboost = 3\nboost_window = 60\n'
        + SSD
        + 'policy = "heat-score"\n'
        + ARCHIVE
    )
    stack = read(text)
    wanted = ScoreParameters(half_life=7200, boost=3, boost_window=60)
    assert stack.heat == wanted
    assert stack.tiers[0].policy is not None
    assert stack.tiers[0].policy.parameters == wanted
    own = text.replace('"heat-score"', '{ name = "heat-score", half_life = 10, recency_weight = 0 }')
    (ssd, _) = read(own).tiers
    assert ssd.policy is not None
    assert ssd.policy.parameters == evolve(wanted, half_life=10, recency_weight=0)
    assert read(SSD + ARCHIVE).heat == ScoreParameters()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("half_live = 3", "store.heat.half_live: unknown key; did you mean 'half_life'"),
        ("half_life = 0", "store.heat.half_life: 'half_life' must be above 0"),
        ("boost = -1", "store.heat.boost: 'boost' must be above 0"),
        ("frequency_power = 17", "at most 16"),
        ('frequency_weight = "much"', "store.heat.frequency_weight"),
    ],
)
def test_a_wrong_heat_score_is_refused(read: Callable[..., StackConfig], line: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"[store.heat]\n{line}\n{RAM}{ARCHIVE}")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        (f'{SSD}policy = "arc"\n', "tier[0].policy: 'arc' keeps its lists in one process"),
        (f'{RAM}policy = "heat-score"\n', "tier[0].policy: 'heat-score' only ranks the rows of a catalog"),
        (f'{ARCHIVE}policy = "lru"\n', "only a cache evicts what it holds, and this is a store"),
        (f'{RAM}policy = "acr"\n', "tier[0].policy: 'acr' is unknown; did you mean 'arc'?; installed: arc, "),
        (f"{RAM}policy = 3\n", "tier[0].policy: expected text, got an integer"),
        (f"{RAM}policy = {{ misses = 0.5 }}\n", "tier[0].policy.name: missing; installed: arc, "),
        (
            f'{RAM}policy = {{ name = "heat", mises = 0.5 }}\n',
            "tier[0].policy.mises: unknown key; did you mean 'misses'?",
        ),
        (f'{RAM}policy = {{ name = "heat", misses = 2 }}\n', "tier[0].policy.misses: 'misses' must be <= 1"),
        (f'{RAM}policy = {{ name = "heat", misses = "much" }}\n', "tier[0].policy.misses: expected a number"),
        (f"{RAM}cost = {{ per_request = -1 }}\n", "tier[0].cost.per_request: must be at least 0"),
        (f'{RAM}cost = {{ latency = "soon" }}\n', "tier[0].cost.latency: "),
        (f"{RAM}latency = 1\n", "tier[0].latency: unknown key; it belongs in [tier.cost]"),
    ],
)
def test_what_does_not_fit_says_why(problems: Callable[..., list[str]], tiers: str, expected: str) -> None:
    found = problems(tiers if "archive" in tiers else tiers + ARCHIVE)
    assert any(expected in problem for problem in found), found


def test_costs_are_read(read: Callable[..., StackConfig]) -> None:
    tier = read(
        ARCHIVE + '[tier.cost]\nlatency = "80 ms"\nper_request = 4e-7\nper_gb_out = 0.09\nper_gb_month = 1\n'
    ).tiers[0]
    assert tier.cost == Cost(0.08, 4e-7, 0.09, 1.0)
    assert tier.cost.priced
    assert read(RAM + 'cost = { latency = "1us" }\n' + ARCHIVE).tiers[0].cost == Cost(0.000001)
    assert not read(RAM + ARCHIVE).tiers[0].cost.priced


def test_the_access_log_is_off_unless_asked_for(read: Callable[..., StackConfig]) -> None:
    assert not read(ARCHIVE).access_log
    assert read("[store]\naccess_log = true\n" + ARCHIVE).access_log


@frozen
class _Knobs:
    half_life: float = field(default=60.0, validator=validators.gt(0), metadata={"unit": "seconds"})


@pytest.mark.parametrize(
    "offered",
    [
        object(),
        PolicyType("odd", "", int, index=lambda *given: None),  # type: ignore[arg-type] # broken on purpose
        PolicyType("odd", "", _Knobs),
    ],
)
def test_a_broken_policy_is_named_with_its_distribution(home: Path, registry: Registry, offered: Any) -> None:
    policies = Registry.of({"odd": offered}, group=POLICIES, distribution="odd-dist")
    tier = {"name": "ram", "backend": "memory", "policy": "odd"}
    with pytest.raises(Exception, match="odd-dist") as caught:
        load({"tier": [tier]}, registry=registry, policies=policies, environ={})
    assert "not usable" in str(caught.value)


def test_a_policy_of_a_plugin_takes_units(home: Path, registry: Registry) -> None:
    type_ = PolicyType("mine", "", _Knobs, index=lambda *given: None)  # type: ignore[arg-type] # never made
    policies = Registry.of({"mine": type_}, group=POLICIES)
    tier = {"name": "ram", "backend": "memory", "policy": {"name": "mine", "half_life": "2 min"}}
    stack = load({"tier": [tier]}, registry=registry, policies=policies, environ={})
    assert stack.tiers[0].policy is not None
    assert stack.tiers[0].policy.parameters == _Knobs(120.0)
    with pytest.raises(ConfigError, match="half_life"):
        load(
            {"tier": [tier | {"policy": {"name": "mine", "half_life": 0}}]},
            registry=registry,
            policies=policies,
            environ={},
        )


def test_the_schema_knows_policies_and_their_parameters(registry: Registry) -> None:
    check = jsonschema.Draft202012Validator(schema(registry))

    def valid(policy: object) -> bool:
        tier = {"name": "ram", "backend": "memory", "policy": policy}
        return bool(check.is_valid({"tier": [tier]}))

    assert valid("arc")
    assert valid({"name": "heat", "misses": 0.5})
    assert valid({"env": "NAME"})
    assert not valid("acr")
    assert not valid({"name": "heat", "mises": 0.5})
    assert not valid({"misses": 0.5})


def test_show_says_where_each_parameter_comes_from(home: Path, registry: Registry) -> None:
    Path("ziggurat.toml").write_text(
        RAM + SSD + 'policy = "lru"\n' + SSD.replace('"ssd"', '"ssd2"')
        + '[tier.policy]\nname = "heat"\nmisses = 0.25\n' + ARCHIVE, "utf-8"
    )  # fmt: skip
    found = {each.key: each for each in show("ziggurat.toml", registry=registry, environ={})}
    assert (found["tier[0].policy.name"].value, found["tier[0].policy.name"].origin) == ("arc", "default")
    assert found["tier[1].policy.name"].value == "lru"
    assert found["tier[1].policy.name"].origin.startswith("ziggurat.toml:")
    assert found["tier[2].policy.misses"].value == "0.25"
    assert found["tier[2].policy.misses"].origin.startswith("ziggurat.toml:")
    assert found["tier[2].policy.guard"].origin == "default"
    assert "tier[3].policy.name" not in found
