"""The backend: a dictionary."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.backend import Blob, Context, Dag, Stat, hookimpl
from ziggurat.errors import Unsupported
from ziggurat_memory._options import Options

__all__ = ["MemoryBackend"]


class MemoryBackend:
    """Bytes under plain text keys, in this process.

    Single operations of a dictionary are atomic, so there is no lock, and a hit is one look-up. What `get`
    gives is immutable, so a later `evict` or `put` cannot change it.
    """

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._find = self._held.get  # one step less on the path of every hit

    @classmethod
    def make(cls, _options: Options, _context: Context) -> MemoryBackend:
        """Make an empty backend; the factory of the backend's description."""
        return cls()

    @hookimpl
    def get(self, key: str) -> bytes | None:
        """Give the bytes under a key, or None."""
        return self._find(key)

    @hookimpl
    def put(self, key: str, content: bytes | Blob | Dag) -> Stat:
        """Keep bytes under a key.

        Raises:
            ContentMismatch: A `Blob` gave more or fewer bytes than its size; nothing was kept.
            Unsupported: A DAG, which this form of backend is never given.
        """
        if isinstance(content, Dag):
            raise Unsupported("a memory tier keeps bytes, not the blocks of a DAG", key=key)
        data = content if isinstance(content, bytes) else content.read()
        # A `Key` would keep its CID alive, several hundred bytes an entry: `str` makes plain text of it,
        # and leaves text that is plain as it is, shared with whoever else keeps it.
        self._held[str(key)] = data
        return Stat(size=len(data), stored=len(data))

    @hookimpl
    def has(self, key: str) -> bool:
        """Tell whether a key is held."""
        return key in self._held

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """Describe what is held under a key, or None."""
        data = self._held.get(key)
        return None if data is None else Stat(size=len(data), stored=len(data))

    @hookimpl
    def evict(self, key: str) -> bool:
        """Drop a key; True if it was held."""
        return self._held.pop(key, None) is not None

    @hookimpl
    def scan(self) -> Iterator[str]:
        """List the keys that are held now."""
        return iter(list(self._held))

    @hookimpl
    def close(self) -> None:
        """Free everything."""
        self._held.clear()
