"""The effective configuration, each value with what decided it: for ``ziggurat config show``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from ziggurat.config import keys
from ziggurat.config.load import Loaded, load_document, open_document
from ziggurat.config.locate import KeyPath, format_path, line_of
from ziggurat.config.model import PolicyConfig, TierConfig
from ziggurat.config.options import option_fields
from ziggurat.config.shapes import Field
from ziggurat.config.source import Source
from ziggurat.config.units import format_duration, format_size
from ziggurat.plugin.registry import Registry

__all__ = ["MASK", "Setting", "show"]

MASK = "***"
"""Stands for a secret."""

_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@frozen
class Setting:
    """One effective value.

    Attributes:
        key: Its path, such as "tier[0].capacity".
        value: Its text; "" for no value, `MASK` for a secret.
        origin: "FILE:LINE", "environment variable NAME", "mapping" or "default".
    """

    key: str
    value: str
    origin: str


def show(
    source: str | os.PathLike[str] | Mapping[str, Any] | Source | None = None,
    *,
    registry: Registry | None = None,
    policies: Registry | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Setting, ...]:
    """Resolve a configuration and list every effective value with its origin.

    Args:
        source: As `load` takes it.
        registry: As `load` takes it.
        policies: As `load` takes it.
        environ: As `load` takes it.

    Returns:
        The values in the order of the manual; of a tier that is switched off only that it is.

    Raises:
        ConfigError, PluginError: As `load`.
    """
    environ = os.environ if environ is None else environ
    return tuple(_settings(load_document(open_document(source, environ), registry, environ, policies)))


def _settings(loaded: Loaded) -> Iterator[Setting]:
    stack = loaded.stack
    for each in keys.STORE:
        at: KeyPath = ("store", each.name)
        if each.name == "heat":
            yield from _parameters(loaded, stack.heat, at)
            continue
        yield Setting(format_path(at), _text(getattr(stack, each.name), each), _origin(loaded, at))
    tiers = dict(zip(loaded.positions, stack.tiers, strict=True))
    for position in range(len(loaded.document.data["tier"])):
        at = ("tier", position)
        if position in tiers:
            yield from _tier(loaded, tiers[position], at)
        else:
            at = (*at, "enabled")
            yield Setting(format_path(at), "false", _origin(loaded, at))


def _tier(loaded: Loaded, tier: TierConfig, at: KeyPath) -> Iterator[Setting]:
    values = {
        "name": tier.name,
        "backend": f"{tier.provider.distribution}:{tier.provider.name}",
        "role": tier.role,
        "capacity": tier.capacity,
        "probe": tier.probe,
        "publish": tier.publish,
        "trusted": tier.trusted,
        "enabled": True,
    }
    groups = {
        "retry": attrs.asdict(tier.retry),
        "limit": attrs.asdict(tier.limit),
        "timeout": attrs.asdict(tier.timeouts),
        "breaker": {"failures": tier.breaker},
        "cost": attrs.asdict(tier.cost),
    }
    for each in keys.TIER:
        if each.name in values:
            path = (*at, each.name)
            yield Setting(format_path(path), _text(values[each.name], each), _origin(loaded, path))
    if tier.policy is not None:
        yield from _policy(loaded, tier.policy, (*at, "policy"))
    for attribute, each in zip(_arguments(tier.options), option_fields(type(tier.options)), strict=True):
        path = (*at, "options", each.name)
        value = getattr(tier.options, attribute)
        yield Setting(format_path(path), _text(value, each), _origin(loaded, path))
    for group, known in keys.GROUPS.items():
        for each in known:
            path = (*at, group, each.name)
            yield Setting(format_path(path), _text(groups[group][each.name], each), _origin(loaded, path))


def _policy(loaded: Loaded, policy: PolicyConfig, at: KeyPath) -> Iterator[Setting]:
    named = (*at, "name")
    origin = _origin(loaded, named)
    if origin == "default":  # written as a text
        origin = _origin(loaded, at)
    yield Setting(format_path(named), policy.provider.name, origin)
    yield from _parameters(loaded, policy.parameters, at)


def _parameters(loaded: Loaded, given: Any, at: KeyPath) -> Iterator[Setting]:
    for attribute, each in zip(_arguments(given), option_fields(type(given)), strict=True):
        path = (*at, each.name)
        yield Setting(format_path(path), _text(getattr(given, attribute), each), _origin(loaded, path))


def _arguments(options: Any) -> list[str]:
    return [attribute.name for attribute in attrs.fields(type(options)) if attribute.init]


def _text(value: object, field: Field) -> str:
    if value is None:
        return ""
    if field.shape.secret:
        return MASK if value else ""
    if field.shape.kind == "size" and isinstance(value, int):
        return format_size(value)
    if field.shape.kind == "seconds" and isinstance(value, (int, float)):
        return format_duration(value)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    # A password inside a URL is a secret that no option declares.
    return _USER_INFO.sub(MASK, str(value))


def _origin(loaded: Loaded, at: KeyPath) -> str:
    if at in loaded.variables:
        return f"environment variable {loaded.variables[at]}"
    value: Any = loaded.document.data
    for part in at:
        try:
            value = value[part]
        except (KeyError, TypeError):
            return "default"
    if not loaded.document.label:
        return "mapping"
    return f"{loaded.document.label}:{line_of(loaded.document.lines, at)}"
