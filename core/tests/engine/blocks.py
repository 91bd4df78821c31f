"""Content for the faces of a store; directories and symlinks made block by block, and a store over them."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.dag_backend import DagMedium
from tests.support.rigged import dag

from ziggurat import Cid, Store
from ziggurat.content import DAG_PB
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.varint import encode_varint

Make = Callable[..., Store]
DATA = random.Random(11).randbytes(64 * 10 + 17)


def directory(*entries: tuple[str, bytes, int]) -> tuple[Cid, dict[Cid, bytes]]:
    """A directory of raw or dag-pb children, built by hand: names are not checked."""
    blocks = {Cid.of(block, codec): block for _, block, codec in entries}
    links = [
        Link(Cid.of(block, codec), name.encode("utf-8", "surrogateescape"), len(block))
        for name, block, codec in entries
    ]
    root = encode_node(links, b"\x08\x01")
    return Cid.of(root, DAG_PB), {Cid.of(root, DAG_PB): root, **blocks}


def symlink(target: bytes) -> bytes:
    message = b"\x08\x04\x12" + encode_varint(len(target)) + target
    return b"\x0a" + encode_varint(len(message)) + message


def over(make: Make, blocks: dict[Cid, bytes]) -> Store:
    return make(dag("d", DagMedium(blocks=blocks)))
