"""Claims: our names on pins, taken and given up without touching anybody else's."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ziggurat.backend import Evicted
from ziggurat.content import Cid
from ziggurat_ipfs._pins import MAX_NAME, Pin, add_pins, drop_pin, name_of, pins_of
from ziggurat_ipfs._rpc import Rpc

__all__ = ["Claims"]


class Claims:
    """The pins of one catalog.

    Args:
        holder: Its identifier.
    """

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self._lock = threading.Lock()  # a name is read and then written

    def ours(self, pin: Pin) -> bool:
        """Whether a pin is held in our name."""
        return self.holder in pin.holders

    def take(self, rpc: Rpc, pins: Sequence[Pin]) -> None:
        """Join those who hold a root that is pinned already; a pin without a name of ours is left as it is.

        Raises:
            Refused, TierError: The node could not tell.
        """
        if any(self.ours(pin) for pin in pins):
            return
        for pin in pins:
            name = name_of((*pin.holders, self.holder))
            if pin.holders and len(name.encode()) <= MAX_NAME:
                with self._lock:
                    add_pins(rpc, [pin.cid], name)
                return

    def name(self, rpc: Rpc, cids: Sequence[Cid]) -> None:
        """Write our name on pins that an import of ours has just made.

        Raises:
            Refused, TierError: The node could not; the pins are there.
        """
        add_pins(rpc, [str(cid) for cid in cids], name_of((self.holder,)))

    def release(self, rpc: Rpc, cid: Cid) -> tuple[Evicted, bool]:
        """Give up our claim to a root.

        Returns:
            The answer of an evict, and whether a pin was dropped.

        Raises:
            Refused, TierError: The node could not tell; our claim may stand.
        """
        kept: list[str] = []
        dropped = False
        with self._lock:
            pins = pins_of(rpc, cid)
            for pin in pins:
                others = tuple(holder for holder in pin.holders if holder != self.holder)
                if not self.ours(pin):
                    kept.append(_whose(pin))
                elif others:
                    add_pins(rpc, [pin.cid], name_of(others))
                    kept.append(_whose(Pin(pin.cid, name_of(others))))
                else:
                    dropped = drop_pin(rpc, pin.cid) or dropped
        sentence = f"the node goes on pinning it: {'; '.join(kept)}" if kept else ""
        return Evicted(bool(pins), sentence), dropped


def _whose(pin: Pin) -> str:
    if pin.holders:
        return f"for the catalog {', '.join(pin.holders)}"
    return f"a pin named {pin.name!r}, which is not ours" if pin.name else "a pin without a name, not ours"
