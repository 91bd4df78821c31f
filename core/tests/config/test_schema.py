from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.backend import BackendType, Capabilities
from ziggurat.config import load, schema, starter
from ziggurat.errors import ConfigError, PluginError
from ziggurat.plugin.registry import Registry

RAM = {"name": "ram", "backend": "memory"}
DISK = {"name": "disk", "backend": "disk", "role": "store", "options": {"path": "blobs"}}
S3 = {"name": "s3", "backend": "ziggurat-test:s3", "role": "store", "options": {"bucket": "b"}}
STORE = {"path": "x"}


@pytest.fixture(scope="module")
def refusals(registry: Registry) -> Callable[[object], list[str]]:
    """What the schema says against a configuration (a function, for its short repr)."""
    made = schema(registry)
    jsonschema.Draft202012Validator.check_schema(made)
    json.dumps(made)
    validator = jsonschema.Draft202012Validator(made)

    def messages(data: object) -> list[str]:
        return [error.message for error in validator.iter_errors(data)]

    return messages


VALID: list[dict[str, Any]] = [
    tomllib.loads(starter()),
    {"tier": [RAM]},
    {"store": STORE, "tier": [RAM, DISK, S3]},
    {"store": {**STORE, "min_copies": 2, "profile": "unixfs-v0-2015"}, "tier": [DISK, S3]},
    {"tier": [{**RAM, "capacity": "1.5 GB", "retry": {"attempts": 1, "max_wait": "1 s"}}]},
    {
        "tier": [
            {
                **RAM,
                "capacity": 100,
                "limit": {"rate": 0.5},
                "timeout": {"idle": 3},
                "breaker": {"failures": 0},
            }
        ]
    },
    {"tier": [RAM, {"name": "off", "backend": "not-installed", "enabled": False, "options": {"x": 1}}]},
    {"tier": [{**RAM, "capacity": {"env": "SIZE", "default": "1 MB"}}]},
    {
        "store": STORE,
        "tier": [{**S3, "options": {"bucket": "b", "secret": {"env": "SECRET"}, "hosts": ["a"]}}],
    },
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "tokens": [{"env": "SECRET"}], "count": 3}}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "labels": {"a": "b"}, "wait": "1 min"}}]},
    {"tier": [{"name": "g", "backend": "gateway"}]},
]

INVALID: list[dict[str, Any]] = [
    {},
    {"tier": []},
    {"tier": RAM},
    {"tier": [RAM], "policy": {}},
    {"store": {"pth": "x"}, "tier": [RAM]},
    {"store": {"min_copies": 0}, "tier": [RAM]},
    {"store": {"profile": "x"}, "tier": [RAM]},
    {"tier": [{"name": "x"}]},
    {"tier": [{"backend": "memory"}]},
    {"tier": [{**RAM, "name": "a b"}]},
    {"tier": [{**RAM, "backend": "ipfs"}]},
    {"tier": [{**RAM, "role": "store"}]},
    {"tier": [{**RAM, "capacity": "1 XB"}]},
    {"tier": [{**RAM, "capacity": 0}]},
    {"tier": [{**RAM, "capacity": {"env": "X", "x": "y"}}]},
    {"tier": [{**RAM, "promote_after": 1}]},
    {"tier": [{**RAM, "options": {"x": 1}}]},
    {"tier": [{**RAM, "retry": {"attempts": 0}}]},
    {"tier": [{**RAM, "retry": {"attempt": 1}}]},
    {"tier": [{**RAM, "probe": "yes"}]},
    {"store": STORE, "tier": [{**DISK, "options": {}}]},
    {"store": STORE, "tier": [{"name": "d", "backend": "disk", "role": "store"}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": 3}}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "secret": "hunter2"}}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "tokens": ["hunter2"]}}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "style": "x"}}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "wait": "1 y"}}]},
    {"store": STORE, "tier": [{**S3, "options": {"bucket": "b", "ca_file": ""}}]},
    {"tier": [{"name": "g", "backend": "gateway", "role": "store"}]},
]


@pytest.mark.parametrize("data", VALID)
def test_schema_and_loader_accept(
    refusals: Callable[[object], list[str]], home: Path, registry: Registry, data: dict[str, Any]
) -> None:
    assert refusals(data) == []
    load(
        {**data, "store": {**STORE, **data.get("store", {})}}, registry=registry, environ={"SECRET": "sesame"}
    )


@pytest.mark.parametrize("data", INVALID)
def test_schema_and_loader_refuse(
    refusals: Callable[[object], list[str]], home: Path, registry: Registry, data: dict[str, Any]
) -> None:
    assert refusals(data)
    with pytest.raises(ConfigError):
        load(data, registry=registry, environ={"X": "1", "SECRET": "sesame"})


def test_a_broken_backend_is_left_out_with_a_note(registry: Registry) -> None:
    made = schema(Registry.of({"broken": object(), "memory": registry.load_backend("memory")[1]}))
    assert "left out 'broken' of given 0: " in made["$comment"]
    validator = jsonschema.Draft202012Validator(made)
    assert validator.is_valid({"tier": [RAM]})
    assert not validator.is_valid({"tier": [{"name": "x", "backend": "broken"}]})


def test_no_backends_at_all() -> None:
    made = schema(Registry.of({}))
    jsonschema.Draft202012Validator.check_schema(made)
    assert not jsonschema.Draft202012Validator(made).is_valid({"tier": [RAM]})


def test_every_option_is_described(registry: Registry) -> None:
    text = json.dumps(schema(registry))
    assert "Folder of the blobs." in text
    assert "Default: 64 KiB." in text


_names = st.sampled_from(
    [
        "tier",
        "store",
        "name",
        "backend",
        "role",
        "capacity",
        "options",
        "attempts",
        "path",
        "secret",
        "env",
        "x",
    ]
)
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**30),
    st.floats(),
    st.sampled_from(["memory", "disk", "s3", "cache", "store", "1 MB", "5 s", "x", "", "~", "\0", "a\nb"]),
    st.dates(),
    st.builds(dict, env=st.sampled_from(["SET", "UNSET"])),
)
_anything = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | st.integers(), inner, max_size=5),
    max_leaves=15,
)
_tiers = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", 3]),
        "backend": st.sampled_from(["memory", "disk", "s3", "swarm", "gateway", "x", ":", ""]) | _anything,
    },
    optional={
        "role": st.sampled_from(["cache", "store", "source"]) | _anything,
        "capacity": st.sampled_from(["1 MB", "1 XB"]) | _anything,
        "options": st.dictionaries(
            st.sampled_from(
                ["path", "bucket", "prefix", "key_id", "secret", "tokens", "labels", "hosts", "wait", "style"]
            ),
            _anything,
            max_size=4,
        )
        | _anything,
        "retry": _anything,
        "limit": _anything,
        "timeout": _anything,
        "breaker": _anything,
        "enabled": _anything,
        "publish": _anything,
    },
)


@given(
    st.fixed_dictionaries(
        {}, optional={"tier": st.lists(_tiers, max_size=3) | _anything, "store": _anything, "x": _anything}
    )
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_tables_give_a_stack_or_a_clean_error(
    home: Path, registry: Registry, refusals: Callable[[object], list[str]], data: dict[Any, Any]
) -> None:
    failure: ConfigError | PluginError | None = None
    try:
        load(data, registry=registry, environ={"SET": "sesame"})
    except (ConfigError, PluginError) as error:
        failure = error
    if isinstance(failure, ConfigError):
        assert failure.problems
        assert not any("\n" in problem or "sesame" in problem for problem in failure.problems)
    if failure is None:
        assert refusals(data) == []


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_files_give_a_clean_error(home: Path, registry: Registry, text: bytes) -> None:
    Path("random.toml").write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load("random.toml", registry=registry, environ={})
    assert caught.value.problems


def test_options_that_are_no_attrs_class_are_left_out() -> None:
    class NotAttrs:
        pass

    made = schema(Registry.of({"odd": BackendType(lambda options, context: None, NotAttrs, Capabilities())}))
    assert "left out 'odd'" in made["$comment"]
