"""The JSON Schema (draft 2020-12) of the file, for editors: the core's keys and every installed backend's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ziggurat.backend import BackendType
from ziggurat.config import keys
from ziggurat.config.options import option_fields
from ziggurat.config.policies import load_policy
from ziggurat.config.roles import allowed_roles
from ziggurat.config.shapes import Field, Shape
from ziggurat.config.units import SIZE_UNITS, TIME_UNITS
from ziggurat.errors import ConfigError, PluginError
from ziggurat.plugin.registry import POLICIES, Provider, Registry
from ziggurat.policy import PolicyType
from ziggurat.policy.score import ScoreParameters

__all__ = ["schema"]

_NUMBER = r"^\s*[0-9]+(\.[0-9]+)?\s*"
_PATTERNS = {
    "size": f"{_NUMBER}({'|'.join(SIZE_UNITS)})?\\s*$",
    "seconds": f"{_NUMBER}({'|'.join(TIME_UNITS)})?\\s*$",
}
_REFERENCE = {"$ref": "#/$defs/reference"}


def schema(registry: Registry | None = None, policies: Registry | None = None) -> dict[str, Any]:
    """Make the JSON Schema of a configuration file.

    Imports every installed backend for its options. One that cannot be imported is left out, and
    ``$comment`` says so.

    Args:
        registry: The installed backends, by default those that entry points announce.
        policies: The installed policies, by default those that entry points announce.

    Returns:
        A schema that refuses unknown keys at every level. What a schema cannot say (duplicate names, roles
        that add up, the words of a backend's own checks) is left to `load`.
    """
    registry = registry or Registry()
    backends, notes = _backends(registry)
    known, more = _policies(policies or Registry(POLICIES))
    notes += more
    tier = _table(keys.TIER)
    tier["properties"]["policy"] = _described(_policy(known), _field(keys.TIER, "policy"))
    for group, fields in keys.GROUPS.items():
        tier["properties"][group] = _described(_table(fields), _field(keys.TIER, group))
    tier["properties"]["name"] = _or_reference({"type": "string", "pattern": f"^{keys.NAME}$"})
    tier["properties"]["options"] = {"type": "object", "description": _field(keys.TIER, "options").help}
    switched_off = {"properties": {"enabled": {"const": False}}, "required": ["enabled"]}
    on = {"properties": {"backend": _or_reference({"enum": sorted(backends)})}}
    tier["allOf"] = [{"if": switched_off, "else": on}]
    tier["allOf"].extend(_rule(name, type_, switched_off) for name, type_ in sorted(backends.items()))
    store = _table(keys.STORE)
    store["properties"]["heat"] = _described(
        _table(option_fields(ScoreParameters)), _field(keys.STORE, "heat")
    )
    top = _table(keys.TOP)
    top["properties"] = {
        "store": _described(store, _field(keys.TOP, "store")),
        "tier": {
            "type": "array",
            "minItems": 1,
            "items": tier,
            "description": _field(keys.TOP, "tier").help,
        },
    }
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ziggurat configuration",
        **top,
        "$defs": {
            "reference": {
                "type": "object",
                "description": "Text from an environment variable.",
                "properties": {
                    "env": {"type": "string", "minLength": 1},
                    "default": {"type": "string"},
                },
                "required": ["env"],
                "additionalProperties": False,
            },
            "secret": {
                "type": "object",
                "description": "A secret, only by reference to an environment variable.",
                "properties": {"env": {"type": "string", "minLength": 1}},
                "required": ["env"],
                "additionalProperties": False,
            },
        },
    }
    if notes:
        found["$comment"] = "; ".join(notes)
    return found


def _backends(registry: Registry) -> tuple[dict[str, BackendType], list[str]]:
    """Load what can be loaded, under each name that a file may use for it."""
    providers = registry.available()
    offers = Counter(provider.name for provider in providers)
    found: dict[str, BackendType] = {}
    notes = []
    for provider in providers:
        full = f"{provider.distribution}:{provider.name}"
        try:
            _, type_ = registry.load_backend(full)
            option_fields(type_.options)
        except (PluginError, ConfigError) as error:
            notes.append(f"left out {_who(provider)}: {error}")
            continue
        found[full] = type_
        if offers[provider.name] == 1:
            found[provider.name] = type_
    return found, notes


def _policies(registry: Registry) -> tuple[dict[str, PolicyType], list[str]]:
    found: dict[str, PolicyType] = {}
    notes = []
    for provider in registry.available():
        try:
            _, found[provider.name] = load_policy(provider.name, registry)
            option_fields(found[provider.name].parameters)
        except PluginError as error:
            found.pop(provider.name, None)
            notes.append(f"left out {_who(provider)}: {error}")
    return found, notes


def _policy(known: Mapping[str, PolicyType]) -> dict[str, Any]:
    """A name, or a table with the parameters of the policy that it names."""
    tables = []
    for name, type_ in sorted(known.items()):
        table = _table(option_fields(type_.parameters))
        table["properties"] = {"name": {"const": name}, **table["properties"]}
        table["required"] = ["name", *table.get("required", ())]
        tables.append(table)
    return {"anyOf": [{"enum": sorted(known)}, _REFERENCE, *tables]}


def _who(provider: Provider) -> str:
    return f"{provider.name!r} of {provider}"


def _rule(name: str, type_: BackendType, switched_off: Mapping[str, Any]) -> dict[str, Any]:
    """Say what follows from a tier's backend, unless the tier is switched off."""
    fields = option_fields(type_.options)
    then: dict[str, Any] = {
        "properties": {
            "options": _table(fields),
            "role": _or_reference({"enum": sorted(allowed_roles(type_))}),
        }
    }
    if any(field.required for field in fields):
        then["required"] = ["options"]
    return {
        "if": {
            "properties": {"backend": {"const": name}},
            "required": ["backend"],
            "not": switched_off,
        },
        "then": then,
    }


def _table(fields: Iterable[Field]) -> dict[str, Any]:
    fields = list(fields)
    table: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _described(_value(field.shape), field) for field in fields},
        "additionalProperties": False,
    }
    if required := [field.name for field in fields if field.required]:
        table["required"] = required
    return table


def _field(fields: Iterable[Field], name: str) -> Field:
    return next(field for field in fields if field.name == name)


def _described(value: dict[str, Any], field: Field) -> dict[str, Any]:
    default = f"Default: {field.default}." if field.default else ""
    text = " ".join(part for part in (field.help, default) if part)
    return {**value, "description": text} if text else value


def _or_reference(value: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [value, _REFERENCE]}


def _value(shape: Shape) -> dict[str, Any]:
    if shape.kind == "list":
        return {"type": "array", "items": _value(_item(shape))}
    if shape.kind == "map":
        return {"type": "object", "additionalProperties": _value(_item(shape))}
    if shape.secret:
        return {"$ref": "#/$defs/secret"}
    lowest: dict[str, Any] = {}
    if shape.minimum is not None:
        lowest["minimum"] = shape.minimum
    if shape.positive:
        lowest["exclusiveMinimum"] = 0
    match shape.kind:
        case "text":
            return _or_reference({"type": "string"})
        case "path":
            return _or_reference({"type": "string", "minLength": 1})
        case "choice":
            return _or_reference({"enum": list(shape.choices)})
        case "size" | "seconds":
            number = {"type": "integer" if shape.kind == "size" else "number", "minimum": 0, **lowest}
            text = {"type": "string", "pattern": _PATTERNS[shape.kind]}
            return {"anyOf": [number, text, _REFERENCE]}
        case "integer" | "number":
            return {"type": shape.kind, **lowest}
        case "flag":
            return {"type": "boolean"}
        case "table":
            return {"type": "object"}
    return {}


def _item(shape: Shape) -> Shape:
    """Describe the elements of a list or a map; those of a secret are secrets."""
    item = shape.item or Shape("any")
    return Shape(item.kind, item.choices, item.item, secret=True) if shape.secret else item
