"""Reading from trustless HTTP gateways: whoever they are, every block is proved."""

from ziggurat_ipfs.gateway._backend import Gateway, backend
from ziggurat_ipfs.gateway._options import GatewayOptions

__all__ = ["Gateway", "GatewayOptions", "backend"]
