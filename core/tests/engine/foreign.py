"""Trees of every shape that other programs write, built by hand."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from ziggurat import Cid, Store
from ziggurat.content import DAG_PB, RAW, Profile, read_car
from ziggurat.content.car import write_car
from ziggurat.content.dagpb import Link, encode_node
from ziggurat.content.leaves import leaf_envelope
from ziggurat.content.unixfs import inner_data
from ziggurat.content.varint import encode_varint

from .conftest import SMALL

Make = Callable[..., Store]
DATA = random.Random(9).randbytes(64 * 10 + 17)
PROFILES = {
    "v1": SMALL,
    "v0": Profile(chunk_size=64, max_links=3, cid_version=0, raw_leaves=False),
    "v1 dag-pb leaves": Profile(chunk_size=64, max_links=2, raw_leaves=False),
    "blake2b": Profile(chunk_size=64, max_links=4, hash_name="blake2b-256"),
    "one level": Profile(chunk_size=64),
}


class Tree:
    """Blocks of a foreign file."""

    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}

    def add(self, block: bytes, codec: int = DAG_PB) -> Cid:
        cid = Cid.of(block, codec)
        self.blocks[cid] = block
        return cid

    def raw(self, data: bytes) -> tuple[Cid, int]:
        return self.add(data, RAW), len(data)

    def leaf(self, data: bytes, encoding: int = 0) -> tuple[Cid, int]:
        head, tail = leaf_envelope(len(data), encoding)
        return self.add(head + data + tail), len(data)

    def odd(self, data: bytes) -> tuple[Cid, int]:
        """A leaf with a mode and a time, which no importer's encoding gives back."""
        message = b"\x08\x02\x12" + encode_varint(len(data)) + data + b"\x18" + encode_varint(len(data))
        message += b"\x38" + encode_varint(0o640) + b"\x42\x02\x08\x05"
        return self.add(b"\x0a" + encode_varint(len(message)) + message), len(data)

    def inlined(self, data: bytes) -> tuple[Cid, int]:
        return Cid.from_bytes(b"\x01\x55\x00" + encode_varint(len(data)) + data), len(data)

    def node(self, *children: tuple[Cid, int]) -> tuple[Cid, int]:
        size = sum(part for _, part in children)
        sizes = b"".join(b"\x20" + encode_varint(part) for _, part in children)
        links = [Link(cid, b"", part + 3) for cid, part in children]  # a Tsize that lies
        return self.add(encode_node(links, inner_data(size, sizes))), size

    def car(self, root: Cid) -> bytes:
        return b"".join(write_car([root], self.blocks.items()))


def foreign(name: str) -> tuple[Tree, Cid, bytes]:
    """A tree that no profile gives, its root and its plain bytes."""
    tree, part = Tree(), [bytes([65 + i]) * (10 + i) for i in range(8)]
    if name == "trickle":
        # Leaves and nodes side by side, deeper to the right.
        right = tree.node(tree.leaf(part[4], 1), tree.node(tree.leaf(part[5], 1), tree.leaf(part[6], 1)))
        top = tree.node(
            tree.leaf(part[0], 1),
            tree.leaf(part[1], 1),
            tree.node(tree.leaf(part[2], 1), tree.leaf(part[3], 1)),
            right,
        )
        data = b"".join(part[:7])
    elif name == "every encoding":
        top = tree.node(*(tree.leaf(part[i % 8], i) for i in range(8)))
        data = b"".join(part)
    elif name == "odd leaves":
        top = tree.node(
            tree.odd(part[0]), tree.raw(part[1]), tree.node(tree.odd(part[2]), tree.leaf(part[3]))
        )
        data = b"".join(part[:4])
    elif name == "identity leaves":
        top = tree.node(
            tree.inlined(part[0]),
            tree.raw(part[1]),
            tree.inlined(part[2]),
            tree.node(tree.inlined(part[3]), tree.raw(part[4])),
        )
        data = b"".join(part[:5])
    elif name == "empty leaves":
        top = tree.node(
            tree.raw(b""),
            tree.raw(part[0]),
            tree.node(tree.leaf(b""), tree.raw(b"")),
            tree.raw(part[1]),
            tree.leaf(b"", 2),
        )
        data = part[0] + part[1]
    elif name == "repeats":
        twin = tree.node(tree.raw(part[0]), tree.raw(part[1]), tree.raw(part[0]))
        top = tree.node(twin, tree.raw(part[0]), twin, tree.node(twin, tree.raw(part[1])))
        one = part[0] + part[1] + part[0]
        data = one + part[0] + one + one + part[1]
    elif name == "one odd leaf":
        top, data = tree.odd(part[0]), part[0]
    elif name == "one child":
        top, data = tree.node(tree.node(tree.node(tree.raw(part[0])))), part[0]
    else:  # nothing at all
        top, data = tree.node(), b""
    return tree, top[0], data


FOREIGN = [
    "trickle",
    "every encoding",
    "odd leaves",
    "identity leaves",
    "empty leaves",
    "repeats",
    "one odd leaf",
    "one child",
    "empty",
]


def exported(stack: Store, cid: Cid) -> tuple[tuple[Cid, ...], dict[Cid, bytes]]:
    target = io.BytesIO()
    written = stack.export_car(cid, target)
    assert written == len(target.getvalue())
    car = read_car((target.getvalue(),))
    pairs = list(car)
    assert len(dict(pairs)) == len(pairs), "a block stands twice"
    assert pairs[0][0] == cid
    return car.roots, dict(pairs)
