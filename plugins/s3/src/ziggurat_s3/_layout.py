"""Which object a key is kept under, and back."""

from __future__ import annotations

import re

from ziggurat.backend import as_key
from ziggurat.errors import InvalidCid

__all__ = ["LAYOUTS", "Layout"]

LAYOUTS = {"plain": "{key}", "spread": "{1}/{2}/{key}"}
"""Templates that have a name."""

_PAIR = 2
_FIELD = re.compile(r"\{([^{}]*)\}")
# What AWS calls safe, without what obstore or a file system beneath a service would read as something else.
_SAFE = re.compile(r"[A-Za-z0-9!_.*'()=@:+,-]+(?:/[A-Za-z0-9!_.*'()=@:+,-]+)*")
_LONGEST = 512


class Layout:
    """Where the objects of a tier stand in its bucket: a prefix, and a template.

    In a template ``{key}`` is the key, once; ``{1}`` is the last two characters of its CID, ``{2}`` the two
    before them, and so on: there a CID varies, while its beginning is the same for all. All fields but the
    key have a fixed length, so that the key can be read back from a name.

    Args:
        prefix: What all names begin with, with or without a slash at its end.
        template: A name of `LAYOUTS`, or a template.

    Attributes:
        prefix: Empty, or with one slash at its end.
        template: As above, without a name.

    Raises:
        ValueError: The names could not be read back, or would be refused by some services.
    """

    def __init__(self, prefix: str = "", template: str = "plain") -> None:
        self.prefix = f"{_checked('prefix', prefix.removesuffix('/'))}/" if prefix else ""
        self.template = LAYOUTS.get(template, template)
        fields = _FIELD.findall(self.template)
        if fields.count("key") != 1:
            names = " or ".join(f'"{name}"' for name in LAYOUTS)
            raise ValueError(f"layout is {names}, or a template that holds {{key}} once")
        pairs = [field for field in fields if field != "key"]
        if not all(re.fullmatch("[1-9]", field) for field in pairs):
            raise ValueError("layout knows {key}, and {1} to {9} for pairs of characters from the CID's end")
        literal = _FIELD.sub("x", self.template)
        _checked("layout", literal)
        if literal.startswith("."):
            raise ValueError("layout does not begin with a dot: there the tier keeps its marker")
        self._plain = self.template == "{key}"
        self._parts = _FIELD.split(self.template)  # literal, field, literal, field, …, literal
        before, _, after = self.template.partition("{key}")
        self._head = len(self.prefix) + len(_FIELD.sub("x" * _PAIR, before))
        self._tail = len(_FIELD.sub("x" * _PAIR, after))

    def name(self, key: str) -> str:
        """The object of a key."""
        if self._plain:
            return self.prefix + key
        cid = key.partition(".")[0]
        made = [self.prefix]
        for place, part in enumerate(self._parts):
            if place % 2 == 0:
                made.append(part)
            elif part == "key":
                made.append(key)
            else:
                end = len(cid) - _PAIR * (int(part) - 1)
                made.append(cid[max(0, end - _PAIR) : max(0, end)].rjust(_PAIR, "_"))
        return "".join(made)

    def key(self, name: str) -> str | None:
        """The key of an object, None for one that is not ours."""
        found = name[self._head : len(name) - self._tail]
        try:
            key = as_key(found)
        except InvalidCid:
            return None
        return str(key) if self.name(key) == name else None


def _checked(what: str, text: str) -> str:
    if len(text) > _LONGEST or not _SAFE.fullmatch(text):
        raise ValueError(
            f"{what} holds letters, digits and !_.*'()=@:+,- between single slashes, and begins with no slash"
        )
    if any(part in (".", "..") for part in text.split("/")):
        raise ValueError(f"{what} has no part that is . or ..")
    return text
