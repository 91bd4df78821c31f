"""``ziggurat ipfs``: the pins of the nodes that a stack names."""

from ziggurat_ipfs.commands._ipfs import ipfs

__all__ = ["ipfs"]
