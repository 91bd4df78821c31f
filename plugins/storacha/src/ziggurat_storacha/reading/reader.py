"""Reading: from the storage nodes where an indexing service is known, else or after that from the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ziggurat.content import DAG_PB, Cid, Dag
from ziggurat.errors import CorruptBlob, TierError, TierUnavailable
from ziggurat_storacha.reading.direct import Direct
from ziggurat_storacha.reading.gateway import Gateway

__all__ = ["Reader"]

Answer = TypeVar("Answer")


class Reader:
    """Asks whoever may have a block or a DAG.

    Args:
        direct: The storage nodes, None without an indexing service.
        gateway: The gateway, None without one.

    Attributes:
        direct: As given.
    """

    def __init__(self, direct: Direct | None, gateway: Gateway | None) -> None:
        self.direct, self._gateway = direct, gateway

    def block(self, cid: Cid) -> bytes | None:
        """One block, proved; None if nobody knows it.

        Raises:
            TierError: Somebody may have it, and could not give it.
        """

        def from_gateway(gateway: Gateway) -> bytes | None:
            block = gateway.block(cid)
            if block is not None and not cid.matches(block):
                raise CorruptBlob(f"the gateway gave other bytes than those of {cid}")
            return block

        return self._first(lambda direct: direct.block(cid), from_gateway)

    def dag(self, root: Cid, note: bytes | None = None) -> Dag | None:
        """The blocks of a DAG, root first; None if nobody knows its root.

        Args:
            root: Its root.
            note: Multihash of its index blob, where it is known.

        Raises:
            TierError: As `block`; the pairs too.
        """
        return self._first(lambda direct: direct.dag(root, note), lambda gateway: gateway.dag(root))

    def whole(self, cid: Cid, note: bytes | None = None) -> bytes | Dag | None:
        """What a plain key names: a DAG, or a block of any other codec."""
        return self.dag(cid, note) if cid.codec == DAG_PB else self.block(cid)

    def _first(
        self, direct: Callable[[Direct], Answer | None], gateway: Callable[[Gateway], Answer | None]
    ) -> Answer | None:
        if self.direct is None and self._gateway is None:
            raise TierUnavailable("nothing says where to read: set indexer_url or gateway_url")
        failure: TierError | None = None
        if self.direct is not None:
            try:
                found = direct(self.direct)
            except TierError as error:
                failure = error
            else:
                if found is not None:
                    return found
        if self._gateway is not None:
            try:
                found = gateway(self._gateway)
            except TierError as error:
                failure = failure or error
            else:
                if found is not None:
                    return found
        if failure is not None:
            raise failure
        return None
