"""The Storacha backend of Ziggurat: blobs on an upload service that speaks UCAN, natively in Python."""

from ziggurat_storacha._backend import Storacha, backend
from ziggurat_storacha._options import StorachaOptions

__all__ = ["Storacha", "StorachaOptions", "backend"]
