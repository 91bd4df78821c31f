"""The IPFS backends of Ziggurat: a Kubo node over its RPC, and trustless gateways."""

from ziggurat_ipfs._backend import Ipfs, backend
from ziggurat_ipfs._options import IpfsOptions

__all__ = ["Ipfs", "IpfsOptions", "backend"]
