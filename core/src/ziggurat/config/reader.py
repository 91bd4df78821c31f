"""Takes values out of parsed TOML: type checks, references to the environment, units and paths."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from ziggurat.config.locate import KeyPath
from ziggurat.config.report import Report, nearest, suggest
from ziggurat.config.shapes import Field, Shape
from ziggurat.config.units import parse_duration, parse_size

__all__ = ["MISSING", "Reader"]


class _Missing:
    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
"""Stands for a value that is not there, or that a problem was reported for."""

_REFERENCE = '{ env = "NAME" }'
_KINDS = {
    "text": "text",
    "integer": "an integer",
    "number": "a number",
    "flag": "true or false",
    "size": 'a size such as "100 MB"',
    "seconds": 'a duration such as "5 s"',
    "path": "a path as text",
    "choice": "text",
    "list": "an array",
    "map": "a table",
    "table": "a table",
    "policy": "the name of a policy, or a table",
    "any": "a value",
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "flag": (bool,),
    "size": (str, int),
    "seconds": (str, int, float),
    "choice": (str,),
}


_SECRET = 4
"""Characters from which a text of the environment is hidden in every message; shorter ones hide nothing."""


@define
class Reader:
    """Reads and checks values, and remembers what came from the environment.

    Attributes:
        report: Where problems go.
        environ: The environment that references name.
        base: Folder from which relative paths count.
        resolve: False to check without the environment, as for a tier that is switched off.
        variables: The environment variable that each key took its value from.
        values: Texts that came from the environment, which no message may repeat.
    """

    report: Report
    environ: Mapping[str, str]
    base: Path
    resolve: bool = True
    variables: dict[KeyPath, str] = field(factory=dict)
    values: set[str] = field(factory=set)

    def table(self, value: object, at: KeyPath) -> Mapping[str, Any]:
        """Take a table; anything else is a problem, and an empty table."""
        if not isinstance(value, Mapping):
            self.report.add(at, f"expected a table, got {_name(value)}")
            return {}
        # A mapping from Python may have keys of any type.
        return {key if isinstance(key, str) else repr(key): item for key, item in value.items()}

    def fields(
        self,
        value: object,
        at: KeyPath,
        known: Sequence[Field],
        hint: Callable[[str], str] | None = None,
    ) -> dict[str, Any]:
        """Take the known keys of a table and report the others.

        Args:
            value: The table.
            at: Its path.
            known: Its keys; those of kind "table" and "policy" are returned as they are.
            hint: Gives a better proposal for an unknown key, or "".

        Returns:
            The values that are there and right.
        """
        table = self.table(value, at)
        names = [each.name for each in known]
        meant: set[str] = set()
        for name in table:
            if name not in names:
                self.report.unknown((*at, name), names, hint(name) if hint else "")
                meant.update(nearest(name, names))
        found = {}
        for each in known:
            if each.name in table:
                checked = self.value(table[each.name], (*at, each.name), each.shape)
                if checked is not MISSING:
                    found[each.name] = checked
            elif each.required and each.name not in meant and isinstance(value, Mapping):
                text = (
                    f"missing; {each.help[:1].lower()}{each.help[1:].rstrip('.')}" if each.help else "missing"
                )
                self.report.add((*at, each.name), text)
        return found

    def value(self, value: Any, at: KeyPath, shape: Shape) -> Any:
        """Check one value.

        Returns:
            The value that the rest of the core works with, or `MISSING` when a problem was reported.
        """
        if shape.secret and not _by_reference(value, shape.kind):
            self.report.add(
                at, f"is a secret, which never stands in the file; write {_REFERENCE} and set that variable"
            )
            return MISSING
        if shape.kind in ("table", "policy"):
            return value
        if shape.kind == "list":
            return self._list(value, at, shape)
        if shape.kind == "map":
            return self._map(value, at, shape)
        if isinstance(value, Mapping) and (shape.kind != "any" or _is_reference(value)):
            return self._reference(value, at, shape)
        return self._plain(value, at, shape)

    def _reference(self, value: Mapping[Any, Any], at: KeyPath, shape: Shape) -> Any:
        if "env" not in value:
            self.report.add(at, f"expected {_KINDS[shape.kind]}, or {_REFERENCE}, got a table")
            return MISSING
        wrong = False
        for key, item in value.items():
            if key not in ("env", "default"):
                self.report.unknown((*at, str(key)), ("env", "default"))
                wrong = True
            elif not isinstance(item, str) or (key == "env" and not item):
                self.report.add((*at, key), f"expected text, got {_name(item)}")
                wrong = True
        if shape.kind in ("integer", "number", "flag"):
            self.report.add(at, f"expected {_KINDS[shape.kind]}; only text can come from the environment")
            wrong = True
        if wrong or not self.resolve:
            return MISSING
        name = value["env"]
        if name in self.environ:
            self.variables[at] = name
            if self.environ[name]:
                self.values.add(self.environ[name])
                if len(self.environ[name]) >= _SECRET:
                    self.report.hidden.add(self.environ[name])
            return self._plain(self.environ[name], at, shape, name)
        if "default" in value:
            return self._plain(value["default"], at, shape)
        self.report.add(at, f"the environment variable {name} is not set; set it, or give a default")
        return MISSING

    def _list(self, value: Any, at: KeyPath, shape: Shape) -> Any:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
            self.report.add(at, f"expected an array, got {_name(value)}")
            return MISSING
        item = shape.item or Shape("any")
        found = [self.value(each, (*at, number), item) for number, each in enumerate(value)]
        if any(each is MISSING for each in found):
            return MISSING
        try:
            return shape.cast(found) if shape.cast else found
        except TypeError:  # an element that a set cannot hold
            self.report.add(at, "an element is itself an array or a table")
            return MISSING

    def _map(self, value: Any, at: KeyPath, shape: Shape) -> Any:
        if not isinstance(value, Mapping):
            self.report.add(at, f"expected a table, got {_name(value)}")
            return MISSING
        item = shape.item or Shape("any")
        found = {name: self.value(each, (*at, name), item) for name, each in self.table(value, at).items()}
        return MISSING if any(each is MISSING for each in found.values()) else found

    def _plain(self, value: Any, at: KeyPath, shape: Shape, variable: str = "") -> Any:
        try:
            if shape.kind == "any":
                return self._any(value, at)
            checked = self.path(value) if shape.kind == "path" else _scalar(value, shape)
            return shape.cast(checked) if shape.cast else checked
        except (ValueError, OverflowError) as error:
            if variable or shape.secret:
                # What came from the environment may be a secret: its text is not repeated.
                given = f"the value of {variable}" if variable else "the default"
                self.report.add(at, f"{given} is not {_KINDS[shape.kind]} that fits here")
            else:
                self.report.add(at, str(error))
            return MISSING

    def _any(self, value: Any, at: KeyPath) -> Any:
        if isinstance(value, Mapping):
            return self._map(value, at, Shape("map"))
        if isinstance(value, (list, tuple)):
            return self._list(value, at, Shape("list"))
        return value

    def path(self, value: object) -> Path:
        """Make a path absolute: ``~`` expanded, otherwise from the file's folder."""
        if not isinstance(value, (str, os.PathLike)):
            raise ValueError(f"expected a path as text, got {_name(value)}")
        text = os.fspath(value)
        if not isinstance(text, str) or not text or "\0" in text:
            raise ValueError("an empty path, or one with a zero byte, leads nowhere")
        try:
            path = Path(text).expanduser()
        except RuntimeError as error:
            raise ValueError("the home folder that ~ names is not known; write the path in full") from error
        return Path(os.path.normpath(self.base / path))


def _name(value: object) -> str:
    """Name the type of a value as TOML does, without the value."""
    if isinstance(value, bool):
        return "true or false"
    for kind, name in ((str, "text"), (int, "an integer"), (float, "a number"), (Mapping, "a table")):
        if isinstance(value, kind):
            return name
    if isinstance(value, (list, tuple)):
        return "an array"
    return f"a {type(value).__name__}"


def _is_reference(value: Mapping[Any, Any]) -> bool:
    return isinstance(value.get("env"), str) and set(value) <= {"env", "default"}


def _by_reference(value: object, kind: str = "any") -> bool:
    """Tell whether every text in a secret's value is a reference without a default."""
    if isinstance(value, Mapping):
        if "env" in value and kind != "map":
            return set(value) == {"env"}
        return bool(value) and all(_by_reference(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return all(_by_reference(each) for each in value)
    return False


def _scalar(value: object, shape: Shape) -> Any:
    """Check a single value of any kind but "path"; a ValueError says what is wrong with it."""
    if shape.kind in _TYPES and (
        not isinstance(value, _TYPES[shape.kind]) or isinstance(value, bool) is not (shape.kind == "flag")
    ):
        raise ValueError(f"expected {_KINDS[shape.kind]}, got {_name(value)}")
    checked: Any = value
    if shape.kind == "number":
        checked = float(checked)
    elif shape.kind == "size":
        checked = parse_size(checked)
    elif shape.kind == "seconds":
        checked = parse_duration(checked)
    elif shape.kind == "choice" and checked not in shape.choices:
        raise ValueError(f"{checked[:40]!r} is unknown; {suggest(checked, shape.choices)}")
    if shape.minimum is not None and checked < shape.minimum:
        raise ValueError(f"must be at least {shape.minimum}")
    if shape.positive and not 0 < checked < math.inf:
        raise ValueError("must be more than 0")
    return checked
