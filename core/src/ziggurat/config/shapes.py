"""What a value of the file may look like: one description for the check, the schema and the manual."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import Attribute, Converter, frozen

__all__ = ["Field", "Kind", "Shape", "shape_of"]

Kind = Literal[
    "text",
    "integer",
    "number",
    "flag",
    "size",
    "seconds",
    "path",
    "choice",
    "list",
    "map",
    "table",
    "policy",
    "any",
]


@frozen
class Shape:
    """What a value may look like.

    Attributes:
        kind: Its kind; "size" and "seconds" take numbers and text with a unit, "map" has free keys, "table"
            and "policy" are read by other code, "any" is checked by nobody here.
        choices: The texts of a "choice".
        item: What a "list" or a "map" holds.
        minimum: Smallest number, or size, or duration.
        positive: Must be more than 0.
        secret: May only be given by reference, and is never shown.
        cast: What the checked value is made into, None for itself.
    """

    kind: Kind
    choices: tuple[str, ...] = ()
    item: Shape | None = None
    minimum: int | None = None
    positive: bool = False
    secret: bool = False
    cast: Callable[[Any], object] | None = None


@frozen
class Field:
    """One key of a table.

    Attributes:
        name: The key.
        shape: What its value may look like.
        help: What it means, one sentence.
        default: Its default in words or figures, "" for none worth showing.
        required: It must be given.
    """

    name: str
    shape: Shape
    help: str = ""
    default: str = ""
    required: bool = False


_SIMPLE: Mapping[object, Kind] = {str: "text", int: "integer", float: "number", bool: "flag"}
_LISTS: Mapping[object, Callable[[Any], object] | None] = {
    list: None,
    Sequence: None,
    Collection: None,
    Iterable: None,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
}


def shape_of(attribute: Attribute[Any], hint: object) -> Shape:
    """Describe an option from its attrs field.

    Field metadata: ``unit`` ("bytes" or "seconds") takes numbers and text with a unit, ``path`` (True)
    resolves against the file's folder, ``secret`` (True) takes references only. A field with a converter
    is checked by that converter, because its annotation describes what comes out of it.

    Args:
        attribute: The field.
        hint: Its annotation, resolved.

    Returns:
        The shape of what the file may say.
    """
    secret = bool(attribute.metadata.get("secret"))
    unit = attribute.metadata.get("unit")
    plain = _shape(hint)
    if unit == "bytes":
        return Shape("size", secret=secret)
    if unit == "seconds":
        return Shape("seconds", secret=secret)
    if attribute.metadata.get("path"):
        return Shape("path", secret=secret, cast=str if plain.kind == "text" else None)
    if plain.kind == "path":
        return Shape("path", secret=secret)
    if attribute.converter is not None or isinstance(attribute.converter, Converter):
        return Shape("any", secret=secret)
    if secret:
        return Shape(plain.kind, plain.choices, plain.item, secret=True, cast=plain.cast)
    return plain


def _shape(hint: object) -> Shape:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, typing.NewType):
        return _shape(hint.__supertype__)
    if origin is typing.Annotated:
        return _shape(arguments[0])
    if origin is typing.Union or origin is types.UnionType:
        kinds = [_shape(argument) for argument in arguments if argument is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else Shape("any")
    if origin is Literal and all(isinstance(choice, str) for choice in arguments):
        return Shape("choice", choices=arguments)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        values = tuple(member.value for member in hint)
        if all(isinstance(value, str) for value in values):
            return Shape("choice", choices=values, cast=hint)
        return Shape("any")
    if hint in _SIMPLE:
        return Shape(_SIMPLE[hint])
    if isinstance(hint, type) and issubclass(hint, Path):
        return Shape("path")
    kind = origin or hint
    if kind in _LISTS:
        if kind is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            return Shape("any")
        return Shape("list", item=_shape(arguments[0]) if arguments else Shape("any"), cast=_LISTS[kind])
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return Shape("map", item=_shape(arguments[1]) if len(arguments) == 2 else Shape("any"))
    return Shape("any")
