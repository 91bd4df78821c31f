"""Pins: which roots a node keeps, and in whose name.

A node has at most one recursive pin of a CID, with one name. Ours are named ``ziggurat:<id>``, where the id
is that of the catalog; several catalogs that keep the same root stand in one name, ``ziggurat:<id> <id>``,
so that it stays until the last of them lets go. Any other name, and no name, is somebody else's: such a pin
is never dropped, and its name never changed. CIDv0 and CIDv1 of one root are two pins.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from attrs import frozen

from ziggurat.content import DAG_PB, Cid
from ziggurat.errors import TierUnavailable, ZigguratError
from ziggurat_ipfs._errors import NOT_PINNED, Refused
from ziggurat_ipfs._rpc import Rpc

__all__ = [
    "MAX_NAME",
    "Pin",
    "add_pins",
    "drop_pin",
    "holders",
    "list_pins",
    "list_roots",
    "name_of",
    "pins_named",
    "pins_of",
    "root_of",
    "versions",
]

MAX_NAME = 255
"""Bytes of the longest name that Kubo takes."""

_PREFIX = "ziggurat:"
_SHA256 = 0x12
_AT_ONCE = 200  # CIDs in one address line


@frozen
class Pin:
    """A pin.

    Attributes:
        cid: Text of the root, in the version in which it is pinned.
        name: Its name, "" for none.
        kind: "recursive", "direct" or "indirect".
    """

    cid: str
    name: str = ""
    kind: str = "recursive"

    @property
    def holders(self) -> tuple[str, ...]:
        """Whose it is, when it is one of ours: identifiers of catalogs; empty when it is somebody else's."""
        return holders(self.name)


def holders(name: str) -> tuple[str, ...]:
    """The identifiers in a name of ours, nothing for any other name."""
    if not name.startswith(_PREFIX):
        return ()
    found = tuple(name.removeprefix(_PREFIX).split(" "))
    return found if all(found) else ()


def name_of(ids: Iterable[str]) -> str:
    """The name of a pin that is held for these catalogs."""
    return _PREFIX + " ".join(ids)


def versions(cid: Cid) -> tuple[str, ...]:
    """The texts under which a root may be pinned, the likelier first."""
    texts = [cid.key.partition(".")[0]]
    if cid.codec == DAG_PB and cid.hash_code == _SHA256 and len(cid.digest) == 32:
        old = Cid.from_bytes(b"\x12\x20" + cid.digest)
        texts.insert(0 if cid.version == 0 else 1, str(old))
    return tuple(texts)


def pins_of(rpc: Rpc, cid: Cid, *, first: bool = False) -> list[Pin]:
    """The recursive pins of a root, in either version.

    Args:
        rpc: The node.
        cid: The root.
        first: One is enough.

    Raises:
        Refused, TierError: The node could not tell.
    """
    found: list[Pin] = []
    for text in versions(cid):
        found += (Pin(text, pin.name) for pin in _asked_alone(rpc, text))
        if found and first:
            break
    return found


def list_pins(rpc: Rpc, kind: str = "recursive") -> Generator[Pin, None, None]:
    """Every pin of a kind, as they come.

    Args:
        rpc: The node.
        kind: "recursive", "direct", "indirect" or "all".

    Raises:
        Refused, TierError: Also in mid-stream: the list could not be completed.
    """
    for row in _rows(rpc, type=kind, names="true"):
        yield Pin(row["Cid"], str(row.get("Name") or ""), str(row.get("Type") or kind))


def list_roots(rpc: Rpc) -> Generator[str, None, None]:
    """The texts of all recursive pins, as they come; without names they cost the node a third.

    Raises:
        Refused, TierError: Also in mid-stream: the list could not be completed.
    """
    for row in _rows(rpc, type="recursive"):
        yield row["Cid"]


def _rows(rpc: Rpc, **options: str) -> Generator[dict[str, Any], None, None]:
    body = rpc.open("pin/ls", options={**options, "stream": "true"})
    try:
        for row in body.rows():
            if not isinstance(row, dict) or not isinstance(row.get("Cid"), str):
                raise TierUnavailable(f"pin/ls at {rpc} gave a row without a CID")
            yield row
    finally:
        body.close()


def pins_named(rpc: Rpc, texts: Sequence[str]) -> list[Pin]:
    """The recursive pins of these texts, which were just seen in a list; what is gone since is left out.

    Args:
        rpc: The node.
        texts: As the node writes them.

    Raises:
        Refused, TierError: The node could not tell.
    """
    found: list[Pin] = []
    for start in range(0, len(texts), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        try:
            found += _asked(rpc, some)
        except Refused as refused:
            if not NOT_PINNED.search(refused.message):
                raise
            # One of them is gone, and the node says nothing of the others then.
            found += [pin for text in some for pin in _asked_alone(rpc, text)]
    return found


def _asked(rpc: Rpc, texts: Sequence[str]) -> list[Pin]:
    """The recursive pins of these texts; refused if one of them is not pinned."""
    rows = rpc.call("pin/ls", *texts, type="recursive", names="true")
    keys = rows[0].get("Keys") if rows and isinstance(rows[0], dict) else None
    if not isinstance(keys, dict) or len(keys) != len(texts):
        raise TierUnavailable(f"pin/ls at {rpc} answered without pins: is it the RPC of a Kubo node?")
    return [Pin(text, str(pin.get("Name") or "")) for text, pin in keys.items()]


def _asked_alone(rpc: Rpc, text: str) -> list[Pin]:
    try:
        return _asked(rpc, [text])
    except Refused as refused:
        if not NOT_PINNED.search(refused.message):
            raise
        return []


def add_pins(rpc: Rpc, cids: Sequence[str], name: str) -> None:
    """Pin roots that the node holds whole, or name pins that are ours.

    Raises:
        Refused, TierError: The node could not; some may be pinned.
    """
    for start in range(0, len(cids), _AT_ONCE):
        # Offline: what is not here must fail now, and not be searched for.
        rpc.call(
            *("pin/add", *cids[start : start + _AT_ONCE]),
            name=name,
            offline="true",
            recursive="true",
            fast_provide_root="false",
        )


def drop_pin(rpc: Rpc, cid: str) -> bool:
    """Drop a recursive pin; False if there was none.

    Raises:
        Refused, TierError: The node could not.
    """
    try:
        rpc.call("pin/rm", cid)
    except Refused as refused:
        if NOT_PINNED.search(refused.message):
            return False
        raise
    return True


def root_of(pin: Pin) -> Cid | None:
    """The CID of a pin, None for one that we cannot handle, such as one under an unknown hash."""
    try:
        return Cid.parse(pin.cid)
    except ZigguratError:
        return None
