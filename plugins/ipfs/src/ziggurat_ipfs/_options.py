"""``[tier.options]`` of an ipfs tier."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from attrs import Attribute, field, frozen, validators

from ziggurat_ipfs._address import parse_address

__all__ = ["IpfsOptions", "Provide"]

Provide = Literal["node", "never", "root", "wait"]


def _addresses(given: str | Iterable[str]) -> tuple[str, ...]:
    found = (given,) if isinstance(given, str) else tuple(given)
    for text in found:
        if not isinstance(text, str):
            raise TypeError("api is an address or a list of addresses")
        parse_address(text)
    return found


def _name(_: object, attribute: Attribute[str], value: str) -> None:
    if not re.fullmatch(r"[\w.-]{0,64}", value):
        raise ValueError(f"{attribute.name} has at most 64 letters, digits and . _ -")


@frozen
class IpfsOptions:
    """Which node keeps the blobs, and how it is talked to.

    Attributes:
        api: Addresses of the node's RPC; empty for the one in the `api` file of its repository. When the
            first cannot be reached, reads go to the others; all else only to those that are the same node.
        repo: The node's repository, whose `api` file is read when no address is given; None for
            ``$IPFS_PATH``, then ``~/.ipfs``.
        peer: Peer ID that the node must have, "" to take the first address's word.
        token: Bearer token of the RPC.
        user: User name of the RPC, with `password`.
        password: Password of the RPC.
        network: A get lets the node search the network for what it does not hold.
        network_timeout: Seconds that one such search may take.
        collect: An evict has the node collect garbage, and so frees the room at once.
        provide: Whether a put announces its root: as the node is configured, never, in the background, or
            before it returns.
        pin_id: What the names of our pins end with, ``ziggurat:<pin_id>``; "" for the catalog's identifier.
    """

    api: tuple[str, ...] = field(
        default=(),
        converter=_addresses,
        metadata={"help": "address of the RPC, or a list: http://host:port, /ip4/…/tcp/…, /unix/path"},
    )
    repo: Path | None = field(
        default=None,
        metadata={"help": "the node's repository, whose api file names the address; default IPFS_PATH"},
    )
    peer: str = field(default="", validator=_name, metadata={"help": "peer ID that the node must have"})
    token: str = field(default="", repr=False, metadata={"secret": True, "help": "bearer token of the RPC"})
    user: str = field(default="", metadata={"help": "user name of the RPC"})
    password: str = field(default="", repr=False, metadata={"secret": True, "help": "password of the RPC"})
    network: bool = field(
        default=False, metadata={"help": "a get may search the network for what the node does not hold"}
    )
    network_timeout: float = field(
        default=30.0,
        validator=validators.gt(0),
        metadata={"unit": "seconds", "help": "how long one such search may take"},
    )
    collect: bool = field(
        default=False, metadata={"help": "an evict has the node collect its garbage at once; it may be slow"}
    )
    provide: Provide = field(
        default="node",
        validator=validators.in_(("node", "never", "root", "wait")),
        metadata={
            "help": "announce a root: as the node is configured, never, behind the put, or before it ends"
        },
    )
    pin_id: str = field(
        default="",
        validator=_name,
        metadata={"help": "our pins are named ziggurat:<pin_id>; default: the catalog's identifier"},
    )

    @user.validator
    def _one_way(self, _: object, user: str) -> None:
        if self.token and user:
            raise ValueError("give a token, or a user with a password, not both")
        if ":" in user:
            raise ValueError("a user name has no colon")
