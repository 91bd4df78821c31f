"""What a proved block means to a read: a node, or the plain bytes of a leaf."""

from __future__ import annotations

from ziggurat.content import DAG_PB, Cid, Node, leaf_block, parse_node
from ziggurat.engine.session import Session, Value
from ziggurat.errors import MalformedContent

__all__ = ["block_of", "node_value", "value_of"]


def value_of(session: Session, cid: Cid, block: bytes) -> Value:
    """What a proved block means to a read: a node, noted in the layout, or the plain bytes of a leaf."""
    if cid.codec != DAG_PB:
        return block
    node = parse_node(block)
    value = node_value(session, node)
    if isinstance(value, Node):
        session.layout.nodes[cid] = node
    return value


def node_value(session: Session, node: Node) -> Value:
    """A dag-pb node as a read sees it: a leaf of a file is its bytes, unless the read wants blocks."""
    return node.data if node.is_file and not node.links and not session.encoded else node


def block_of(cid: Cid, value: Value) -> bytes:
    """The block that a value came from, encoded as its CID names it."""
    if isinstance(value, Node):
        return value.block
    if cid.codec != DAG_PB:
        return bytes(value)
    block = leaf_block(cid, bytes(value))
    if block is None:  # pragma: no cover - it was proved with the same encodings
        raise MalformedContent(f"{cid} does not encode again", cid=cid)
    return block
