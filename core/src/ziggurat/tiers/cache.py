"""`CacheTier`: the face of a cache tier, which keeps proved blocks under plain text keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ziggurat.backend import Blob, Medium
from ziggurat.config.model import TierConfig
from ziggurat.content import MAX_BLOCK
from ziggurat.errors import ContentMismatch, CorruptBlob, PluginError, Unsupported, ZigguratError
from ziggurat.plugin.binding import Hooks
from ziggurat.tiers.tier import Tier

__all__ = ["CacheTier"]


class CacheTier(Tier):
    """A tier that keeps blocks; which of them is decided elsewhere.

    Attributes:
        capacity: Payload bytes that it may hold.
        proved: Its answers need no proof: a volatile cache of this process, or the user's word.
    """

    def __init__(self, config: TierConfig, hooks: Hooks) -> None:
        super().__init__(config, hooks)
        if hooks.read_only or config.capacity is None:
            raise PluginError(
                f"tier {self.name!r} cannot be a cache: its backend is read-only or it has no capacity",
                distribution=config.provider.distribution,
                version=config.provider.version,
            )
        self.capacity = config.capacity
        self.proved = self.capabilities.volatile or config.trusted

    def get_block(self, key: str) -> bytes | None:
        """The block under a key, None if it is not there.

        Raises:
            TierError: The tier could not answer, or gave something that is no block.
        """
        found = self.get(key)
        if found is None or found.__class__ is bytes:
            return found
        if not isinstance(found, Blob):
            raise self._fault("get", key, f"gave a {type(found).__name__}; a cache gives bytes or a Blob")
        with found:
            if found.size > MAX_BLOCK:
                raise CorruptBlob(
                    f"holds {found.size} bytes, more than a block has", tier=self.name, op="get", key=key
                )
            try:
                return found.read()
            except ContentMismatch as error:
                raise CorruptBlob(error.message, tier=self.name, op="get", key=key) from error

    def put_block(self, key: str, block: bytes) -> None:
        """Keep a proved block; room was made before."""
        self.put(key, block)

    def put_blocks(self, blocks: Sequence[tuple[str, bytes]]) -> list[ZigguratError | None]:
        """Keep proved blocks; room was made before.

        Returns:
            For each, in order, why it is not kept, None if it is.
        """
        if self.hooks.put_many is not None and len(blocks) > 1:
            try:
                answers = self.put_all([(key, block, None) for key, block in blocks])
            except ZigguratError as error:
                return [error] * len(blocks)
            return [answer if isinstance(answer, ZigguratError) else None for answer in answers]
        failed: list[ZigguratError | None] = []
        for key, block in blocks:
            try:
                self.put_block(key, block)
            except ZigguratError as error:
                failed.append(error)
            else:
                failed.append(None)
        return failed

    def evict_block(self, key: str) -> bool:
        """Drop a block; True if it was there."""
        if self.hooks.evict is None:  # pragma: no cover - refused by the constructor
            return False
        gone = bool(self._call("evict", key, self.hooks.evict, key, None))
        if gone:
            self.meter.evictions += 1
        return gone

    def identify(self, *, claim: bool) -> Medium | None:
        """Who a persistent cache is; None for a medium that is new, or not there.

        Args:
            claim: Leave this catalog's marker, and make the medium.
        """
        return self.ask_medium(claim)

    def contents(self) -> Iterator[tuple[str, int]]:
        """Key and bytes of every block that is there.

        Raises:
            Unsupported: The backend cannot list, so a cache that lost its accounts must be emptied by hand.
        """
        if self.hooks.scan is None:
            raise Unsupported("cannot list what it keeps; empty it by hand", tier=self.name, op="scan")
        listing = self._call("scan", "", self.hooks.scan)
        try:
            for key in listing:
                stat = self.stat_key(key)
                if stat is not None:
                    yield key, stat.stored if stat.stored is not None else (stat.size or 0)
        except Exception as error:
            raise self.translated("scan", "", error) from error
