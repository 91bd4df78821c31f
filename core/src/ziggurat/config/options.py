"""``[tier.options]``: built with the backend's own attrs class, checked as far as its fields tell."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import Attribute, Converter

from ziggurat.config.locate import KeyPath
from ziggurat.config.reader import MISSING, Reader
from ziggurat.config.shapes import Field, shape_of
from ziggurat.config.units import format_duration, format_size
from ziggurat.errors import ZigguratError

__all__ = ["build", "option_fields"]

_SHORT = 4


def option_fields(options: type[Any]) -> tuple[Field, ...]:
    """Describe the options of a backend.

    Args:
        options: Its attrs class.

    Returns:
        One field for each argument of its constructor.

    Raises:
        TypeError: Not an attrs class.
    """
    hints = _hints(options)
    return tuple(
        Field(
            name=attribute.alias or attribute.name,
            shape=shape_of(attribute, hints.get(attribute.name, attribute.type)),
            help=str(attribute.metadata.get("help", "")),
            default=_default(attribute),
            required=attribute.default is attrs.NOTHING,
        )
        for attribute in _attributes(options)
    )


def build(options: type[Any], given: object, at: KeyPath, reader: Reader) -> Any:
    """Build the options of one tier.

    Args:
        options: The backend's attrs class.
        given: What the file says.
        at: The path of that table.
        reader: Checks values and collects problems.

    Returns:
        An instance, or `MISSING` when a problem was reported.
    """
    report = reader.report
    before = len(report)
    found = reader.fields(given, at, option_fields(options))
    if len(report) > before:
        return MISSING
    try:
        return options(**found)
    except Exception as error:  # noqa: BLE001 - a plugin's check may raise anything, and must not break the report
        problems = list(_blame(options, found)) or [("", error)]
    secret = {each.name for each in option_fields(options) if each.shape.secret}
    for name, problem in problems:
        # The traceback stays behind: its frames hold the values, secrets among them.
        place = (*at, name) if name else at
        report.add(
            place, _explain(problem, hidden=name in secret, values=_texts(found, secret) | reader.values)
        )
    return MISSING


def _attributes(options: type[Any]) -> list[Attribute[Any]]:
    if not attrs.has(options):
        raise TypeError(f"{options!r} is not an attrs class")
    return [attribute for attribute in attrs.fields(options) if attribute.init]


def _hints(options: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(options)
    except (NameError, TypeError, AttributeError, SyntaxError):
        # An annotation that only a type checker can resolve: converters and validators still check.
        return {}


def _default(attribute: Attribute[Any]) -> str:
    value: object = attribute.default
    if value is None or attribute.metadata.get("secret"):
        return ""
    if attribute.metadata.get("unit") == "bytes" and isinstance(value, int):
        return format_size(value)
    if attribute.metadata.get("unit") == "seconds" and isinstance(value, (int, float)):
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else ""


def _blame(options: type[Any], given: Mapping[str, Any]) -> Iterator[tuple[str, Exception]]:
    """Find which options a class refuses: its constructor stops at the first one.

    Each converter and validator is called as the constructor would call it, on an instance that holds all
    values that could be converted.
    """
    instance: Any = object.__new__(options)
    ready: list[tuple[str, Attribute[Any], Any]] = []
    for attribute in _attributes(options):
        name = attribute.alias or attribute.name
        if name not in given:
            continue
        try:
            value = _convert(attribute, given[name], instance)
        except Exception as error:  # noqa: BLE001 - a plugin's own code
            yield name, error
        else:
            object.__setattr__(instance, attribute.name, value)
            ready.append((name, attribute, value))
    for name, attribute, value in ready:
        if attribute.validator is not None:
            try:
                attribute.validator(instance, attribute, value)
            except Exception as error:  # noqa: BLE001 - a plugin's own code
                yield name, error


def _convert(attribute: Attribute[Any], value: Any, instance: object) -> Any:
    converter: Any = attribute.converter
    if converter is None:
        return value
    if isinstance(attribute.converter, Converter):
        extra: list[object] = [instance] if converter.takes_self else []
        if converter.takes_field:
            extra.append(attribute)
        return converter.converter(value, *extra)
    return converter(value)


def _explain(error: Exception, *, hidden: bool, values: set[str]) -> str:
    """Put a check's own words into the report, without any secret."""
    if hidden:
        return "refused by the backend's own check, whose words may repeat the secret and are not shown"
    # attrs validators raise with the message first, then field and value.
    text = str(error.args[0]) if error.args and isinstance(error.args[0], str) else str(error)
    for value in sorted(values, key=len, reverse=True):
        for shown in (re.escape(value), re.escape(repr(value)[1:-1])):
            # A short value is a part of many innocent words, so it is hidden only where it stands alone.
            text = re.sub(rf"(?<!\w){shown}(?!\w)" if len(value) < _SHORT else shown, "***", text)
    if isinstance(error, (ValueError, TypeError, ZigguratError)):
        return text or "refused by the backend's own check"
    return f"the backend's own check failed with {type(error).__name__}: {text}; report it to its authors"


def _texts(found: Mapping[str, Any], names: set[str]) -> set[str]:
    texts: set[str] = set()
    todo = [found[name] for name in names if name in found]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, (list, tuple, set, frozenset)):
            todo.extend(value)
        elif value is not MISSING and str(value):
            texts.add(str(value))
    return texts
