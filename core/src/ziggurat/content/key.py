"""Keys: the text under which backends keep what a CID names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ziggurat.errors import InvalidCid

if TYPE_CHECKING:
    from ziggurat.content.cid import Cid

__all__ = ["Key", "Kind", "as_key"]

Kind = Literal["plain", "nodes", "block"]


class Key(str):
    """The canonical text of a CIDv1 in base32, alone or with ``.nodes`` or ``.block`` behind it.

    Short, and safe in file names and URLs. `Cid.key`, `Cid.nodes_key`, `Cid.block_key` and `as_key` make
    keys; the constructor checks nothing.
    """

    __slots__ = ("_cid",)
    _cid: Cid | None

    def __new__(cls, text: str, cid: Cid | None = None) -> Key:
        """Make a key of text that is known to be canonical, with its CID where that is at hand."""
        self = super().__new__(cls, text)
        self._cid = cid
        return self

    @property
    def kind(self) -> Kind:
        """What the key names: a blob ("plain"), its nodes, or one dag-pb block."""
        if self.endswith(".block"):
            return "block"
        return "nodes" if self.endswith(".nodes") else "plain"

    @property
    def cid(self) -> Cid:
        """The CID, parsed at the first use and kept."""
        cid = self._cid
        if cid is None:
            from ziggurat.content.cid import Cid

            cid = self._cid = Cid.parse(self.partition(".")[0])
        return cid

    def __reduce__(self) -> tuple[Any, ...]:
        return Key, (str(self),)


def as_key(text: str) -> Key:
    """Read a key.

    Args:
        text: The text of a key; a `Key` is returned as it is.

    Raises:
        InvalidCid: Not the canonical text of a key, or a kind that its codec does not have.
    """
    if isinstance(text, Key):
        return text
    from ziggurat.content.cid import DAG_PB, Cid

    name, dot, kind = text.partition(".")
    cid = Cid.parse(name)
    if cid.version != 1 or str(cid) != name:
        raise InvalidCid(f"key {text[:80]!a} is not canonical: use {cid.key}", cid=cid)
    if not dot:
        return Key(text, cid)
    if kind not in ("nodes", "block"):
        raise InvalidCid(f"key {text[:80]!a} has an unknown kind; use .nodes or .block", cid=cid)
    if cid.codec != DAG_PB:
        raise InvalidCid(f"key {text[:80]!a} is not dag-pb: it has no .{kind}", cid=cid)
    return Key(text, cid)
