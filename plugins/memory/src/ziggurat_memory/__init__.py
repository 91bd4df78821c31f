"""The memory backend of Ziggurat: a dictionary of bytes that is gone with the process."""

from ziggurat.backend import BackendType, Capabilities
from ziggurat_memory._backend import MemoryBackend
from ziggurat_memory._options import Options

__all__ = ["MemoryBackend", "Options", "backend"]

backend = BackendType(
    factory=MemoryBackend.make,
    options=Options,
    capabilities=Capabilities(form="bytes", ranges=False, volatile=True, local=True),
    default_cache_capacity=100_000_000,
)
