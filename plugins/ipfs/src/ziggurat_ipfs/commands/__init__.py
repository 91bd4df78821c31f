"""``ziggurat ipfs``: the pins of the nodes that a stack names."""

from ziggurat_ipfs.commands._ipfs import ipfs
from ziggurat_ipfs.commands._resolve import resolve

__all__ = ["ipfs"]

ipfs.add_command(resolve)
