"""What an agent has: its key, its delegations and its spaces; in the official tools' own form.

The form is the JSON that ``@storacha/access`` keeps (``StoreConf``): maps stand as
``{"$map": [[key, value]…]}``, bytes as ``{"$bytes": [0, …]}``. What is not understood is kept as it is. See
`ziggurat_storacha.client.statefile` for the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve, field, frozen

from ziggurat.content import Cid
from ziggurat.errors import ConfigError, MalformedContent, ZigguratError
from ziggurat_storacha.client.delegation import Delegation
from ziggurat_storacha.client.did import is_account
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.proofs import ATTEST, EVERYTHING
from ziggurat_storacha.client.ucan import decode_ucan

__all__ = ["State", "decode_state", "encode_state", "space_name", "spaces_in"]

_META: Final = {"name": "ziggurat", "type": "device"}
_KNOWN: Final = frozenset({"meta", "principal", "currentSpace", "spaces", "delegations"})


@frozen
class State:
    """What an agent has. Changes make a new one.

    Attributes:
        key: Its private key.
        delegations: All that it received, and all that it issued, by CID.
        spaces: What is noted of each space, by DID; `name` and `access` are known names.
        current: DID of the space that is used when none is named, "" for none.
        notes: What is noted of each delegation, by CID, for other tools.
        meta: What the agent says of itself, for other tools.
        more: Anything else that other tools keep.
    """

    key: Key
    delegations: Mapping[Cid, Delegation] = field(factory=dict)
    spaces: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    current: str = ""
    notes: Mapping[Cid, Mapping[str, Any]] = field(factory=dict, repr=False)
    meta: Mapping[str, Any] = field(factory=lambda: dict(_META))
    more: Mapping[str, Any] = field(factory=dict, repr=False)

    def received(self) -> list[Delegation]:
        """Give the delegations that are made out to this agent."""
        return [one for one in self.delegations.values() if one.ucan.audience == self.key.did]

    def issued(self) -> list[Delegation]:
        """Give the delegations that are made out to others."""
        return [
            one
            for one in self.delegations.values()
            if one.ucan.audience != self.key.did and all(cap.can != ATTEST for cap in one.ucan.capabilities)
        ]

    def accounts(self) -> tuple[str, ...]:
        """Give the DIDs of the accounts that this agent is logged in with."""
        found = [
            one.ucan.issuer
            for one in self.received()
            if is_account(one.ucan.issuer)
            and not one.ucan.expired()
            and any(cap.resource in (EVERYTHING, one.ucan.issuer) for cap in one.ucan.capabilities)
        ]
        return tuple(dict.fromkeys(found))

    def with_delegations(self, delegations: Iterable[Delegation], **note: Any) -> State:
        """Take delegations in, and note the spaces that those for this agent are about.

        Args:
            delegations: What is taken in.
            note: What is noted of each.
        """
        held, notes, spaces = dict(self.delegations), dict(self.notes), dict(self.spaces)
        for one in delegations:
            held[one.cid] = one
            notes.setdefault(one.cid, dict(note))
            if one.ucan.audience == self.key.did:
                for space, name in spaces_in(one):
                    known = spaces.setdefault(space, {"name": name, "access": {"type": "public"}})
                    if name and not known.get("name"):
                        spaces[space] = {**known, "name": name}
        return evolve(self, delegations=held, notes=notes, spaces=spaces)

    def without(self, *cids: Cid) -> State:
        """Forget delegations."""
        gone = set(cids)
        return evolve(
            self,
            delegations={cid: one for cid, one in self.delegations.items() if cid not in gone},
            notes={cid: one for cid, one in self.notes.items() if cid not in gone},
        )

    def with_space(self, did: str, name: str = "", *, use: bool = False) -> State:
        """Note a space, and its name.

        Args:
            did: The space.
            name: What it is called, "" to keep what is noted.
            use: Make it the current one; the first one always is.
        """
        known = self.spaces.get(did, {"name": "", "access": {"type": "public"}})
        spaces = {**self.spaces, did: {**known, "name": name or known.get("name", "")}}
        return evolve(self, spaces=spaces, current=did if use or not self.current else self.current)


def space_name(delegation: Delegation) -> str:
    """Give the name of a space that a delegation's facts say, or ""."""
    for fact in delegation.ucan.facts:
        space = fact.get("space")
        if isinstance(space, Mapping) and isinstance(space.get("name"), str):
            return str(space["name"])
    return ""


def spaces_in(delegation: Delegation) -> Iterator[tuple[str, str]]:
    """Give the spaces that a delegation is about, with their names; also those that it passes on.

    Nothing is proved here.
    """
    seen: set[Cid] = set()
    stack = [delegation]
    while stack:
        one = stack.pop()
        if any(cap.can == ATTEST for cap in one.ucan.capabilities):
            continue
        for cap in one.ucan.capabilities:
            if cap.resource.startswith("did:key:"):
                yield cap.resource, space_name(one)
        if any(cap.resource == EVERYTHING for cap in one.ucan.capabilities):
            below = list(one.proofs(seen))
            seen.update(proof.cid for proof in below)
            stack += below


def encode_state(state: State) -> bytes:
    """Write a state; the bytes hold the private key."""
    whole = {
        **state.more,
        "meta": dict(state.meta),
        "principal": {"id": state.key.did, "keys": {state.key.did: _bytes(state.key.to_bytes())}},
        **({"currentSpace": state.current} if state.current else {}),
        "spaces": {"$map": [[did, dict(noted)] for did, noted in state.spaces.items()]},
        "delegations": {
            "$map": [
                [str(cid), {"meta": dict(state.notes.get(cid, {})), "delegation": _blocks(one)}]
                for cid, one in state.delegations.items()
            ]
        },
    }
    try:
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ConfigError("a name in the agent's state is no text in Unicode: choose another") from None


def _blocks(delegation: Delegation) -> list[dict[str, Any]]:
    return [{"cid": str(cid), "bytes": _bytes(block)} for cid, block in delegation.export()]


def _bytes(data: bytes) -> dict[str, list[int]]:
    return {"$bytes": list(data)}


def decode_state(data: bytes) -> State:
    """Read a state, ours or one that an official tool wrote.

    Raises:
        ConfigError: Not one; the message shows nothing of it.
    """
    try:
        table = json.loads(data)
        if not isinstance(table, dict) or "principal" not in table:
            raise MalformedContent("it has no principal")
        held, notes = _delegations(table.get("delegations", {"$map": []}))
        return State(
            key=_key(table["principal"]),
            delegations=held,
            spaces={str(did): dict(noted) for did, noted in _map(table.get("spaces", {"$map": []}))},
            current=str(table.get("currentSpace") or ""),
            notes=notes,
            meta=dict(table.get("meta", _META)),
            more={name: value for name, value in table.items() if name not in _KNOWN},
        )
    except ZigguratError as error:
        raise ConfigError(f"not the state of a Storacha agent: {error.message}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"not the state of a Storacha agent ({type(error).__name__})") from None


def _key(principal: Mapping[str, Any]) -> Key:
    did = principal["id"]
    key = Key.from_bytes(_octets(principal["keys"][did]))
    if key.did != did:
        raise MalformedContent("its key is not that of its agent")
    return key


def _delegations(value: Any) -> tuple[dict[Cid, Delegation], dict[Cid, Mapping[str, Any]]]:
    held: dict[Cid, Delegation] = {}
    notes: dict[Cid, Mapping[str, Any]] = {}
    for _, entry in _map(value):
        blocks: dict[Cid, bytes] = {}
        cid = None
        for each in entry["delegation"]:
            cid, block = Cid.parse(each["cid"]), _octets(each["bytes"])
            if not cid.matches(block):
                raise MalformedContent(f"the block {cid} has other bytes than its CID says")
            blocks[cid] = block
        if cid is None:
            raise MalformedContent("a delegation without blocks")
        root = blocks.pop(cid)
        held[cid] = Delegation(decode_ucan(root, cid), blocks)
        notes[cid] = dict(entry.get("meta") or {})
    return held, notes


def _map(value: Any) -> list[tuple[Any, Any]]:
    pairs = value["$map"]
    return [(key, entry) for key, entry in pairs]


def _octets(value: Any) -> bytes:
    octets = value.get("$bytes") if isinstance(value, Mapping) else None
    # Older versions let a Buffer through as it writes itself.
    if isinstance(value, Mapping) and value.get("type") == "Buffer":
        octets = value.get("data")
    if isinstance(octets, list):
        return bytes(octets)
    raise MalformedContent("bytes in an unknown form")
