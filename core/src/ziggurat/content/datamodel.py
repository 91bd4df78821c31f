"""The IPLD data model: what a dag-cbor or dag-json block says, as plain Python values.

Source: https://ipld.io/docs/data-model/. A codec says how each kind is written; what is a value at all, and
its limits, is the same for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, Union

from ziggurat.content.cid import MAX_BLOCK, Cid
from ziggurat.errors import BlobTooLarge, MalformedContent, UnsupportedContent

__all__ = ["MAX_NESTING", "Form", "Value", "finite", "fitting", "lowered", "no_float", "shaped"]

Value: TypeAlias = Union[bool, int, float, str, bytes, Cid, "Sequence[Value]", "Mapping[str, Value]", None]
"""A value of the data model: a list is a `list` or a `tuple`, a map a `dict`, a link a `Cid`."""

MAX_NESTING: Final = 128
"""Deepest nesting of lists, maps and links taken."""

_LEAST, _MOST = -(1 << 64), (1 << 64) - 1


class Form(NamedTuple):
    """How a codec writes the kinds that its serializer does not know.

    Attributes:
        name: Of the codec, for messages.
        link: A CID.
        octets: Bytes.
        real: A float; raises where none is taken.
        table: A map whose values are written already; puts it in order.
    """

    name: str
    link: Callable[[Cid], object]
    octets: Callable[[bytes], object]
    real: Callable[[float], float]
    table: Callable[[dict[str, Any]], dict[str, Any]]


def shaped(value: object, form: Form, depth: int = 0) -> Any:
    """Turn a value into what the serializer of a codec takes.

    Raises:
        UnsupportedContent: Something that the data model or the codec does not have.
        MalformedContent: Nested deeper than `MAX_NESTING`.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(value, form)
    if isinstance(value, int):
        if not _LEAST <= value <= _MOST:
            raise UnsupportedContent(f"{form.name} has integers of 64 bits and a sign, {value:#x} has more")
        return int.__index__(value)
    if isinstance(value, bytes):
        return form.octets(value)
    if isinstance(value, Cid):
        return form.link(value)
    if isinstance(value, float):
        return form.real(value)
    if depth >= MAX_NESTING:
        raise MalformedContent(f"a {form.name} value nests deeper than {MAX_NESTING} levels")
    if isinstance(value, list | tuple):
        return [shaped(item, form, depth + 1) for item in value]
    if isinstance(value, dict):
        return form.table({_name(key, form): shaped(item, form, depth + 1) for key, item in value.items()})
    raise UnsupportedContent(
        f"{form.name} has no {type(value).__name__}; use None, bool, int, str, bytes, Cid, list and dict"
    )


def _text(text: str, form: Form) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnsupportedContent(f"{form.name} has no text with half a surrogate pair in it") from None
    return str.__str__(text)  # of a subclass only its text


def _name(key: object, form: Form) -> str:
    if not isinstance(key, str):
        raise UnsupportedContent(f"the keys of a {form.name} map are text, not {type(key).__name__}")
    return _text(key, form)


def no_float(name: str) -> Callable[[float], float]:
    """A `Form.real` that refuses: equal floats are not written alike by all, so their CIDs differ."""

    def real(value: float) -> float:
        raise UnsupportedContent(f"a float ({value!r}) is not written as {name}: use integers or text")

    return real


def finite(value: float) -> float:
    """A `Form.real` that takes every number."""
    if not math.isfinite(value):
        raise MalformedContent(f"the data model has no {value!r}")
    return value


def fitting(block: bytes, name: str) -> bytes:
    """The block, if it is no larger than one may be.

    Raises:
        BlobTooLarge: It is.
    """
    if len(block) > MAX_BLOCK:
        raise BlobTooLarge(
            f"a {name} block of {len(block)} bytes is above the limit of {MAX_BLOCK}; link to parts of it"
        )
    return block


def lowered(message: str) -> str:
    """The message of somebody else's parser as a part of one of ours: one line, its first letter small."""
    first = message.partition("\n")[0]
    return first[:1].lower() + first[1:]
