"""The backend `gateway`: blobs of the IPFS network, read through trustless HTTP gateways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ziggurat.backend import BackendType, ByteRange, Capabilities, Cid, Context, Dag, Stat, as_key, hookimpl
from ziggurat.content import DAG_PB
from ziggurat.errors import BlobNotFound, TierError, Unsupported
from ziggurat_ipfs._names import Name, Resolved, follow
from ziggurat_ipfs.gateway._health import Gateways, Health, Peer
from ziggurat_ipfs.gateway._http import Client
from ziggurat_ipfs.gateway._names import Names
from ziggurat_ipfs.gateway._options import GatewayOptions
from ziggurat_ipfs.gateway._race import ask_each, summed_up
from ziggurat_ipfs.gateway._reads import Reads
from ziggurat_ipfs.gateway._routing import Routers
from ziggurat_ipfs.gateway._wire import Line

__all__ = ["Gateway", "backend"]

T = TypeVar("T")

_STALL = 5
"""Times the hedging delay that a CAR may dawdle over one block while there are others to ask."""


class Gateway:
    """Several gateways as one read-only medium.

    Each question goes to the gateway that has done best; after ``hedge`` seconds, or at once when it fails or
    does not have it, to the next. "Absent" is the word of every gateway that was asked; one that could not
    answer, or asked to be left alone, makes it "cannot tell". A gateway that gave a wrong byte is dropped as
    long as the store is open, and its word counts no more.

    Args:
        options: Which gateways.
        context: Timeouts and a logger.
    """

    def __init__(self, options: GatewayOptions, context: Context) -> None:
        self.options = options
        self._gateways = Gateways(options.urls, context.logger)
        self._client = Client(context.timeouts, options.patience, options.headers)
        self._reads = Reads(
            self._client,
            self._gateways,
            options.max_block,
            search=options.search,
            stall=_STALL * options.hedge,
        )
        self._names = Names(self._client, self._gateways)
        self._routers = Routers(self._client, options.routing)

    @hookimpl
    def get(self, key: str, byte_range: ByteRange | None) -> bytes | Dag | None:
        """A block, or the proved pairs of a dag-pb blob as they arrive; never its children's."""
        asked = as_key(key)
        cid = asked.cid
        if asked.kind == "nodes":
            raise Unsupported("a gateway has no .nodes: ask for the DAG", key=key)
        if asked.kind == "block" or cid.codec != DAG_PB:
            return self._ask(cid, lambda peer, line: self._reads.block(peer, cid, line), _nothing)
        return self._ask(cid, lambda peer, line: self._reads.dag(peer, cid, byte_range, line), Dag.close)

    @hookimpl
    def has(self, key: str) -> bool:
        """True if some gateway can give the root without a search; what is below it is not asked."""
        cid = as_key(key).cid
        found, failures = self._race(
            self._gateways.order(), lambda peer, line: self._reads.holds(peer, cid, line), _nothing
        )
        return self._told(found, failures) is not None

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """That it is there; sizes that a gateway tells are not proved, so none are told."""
        return Stat() if self.has(key) else None

    @hookimpl
    def close(self) -> None:
        """Give up what is under way."""
        self._client.close()

    def health(self) -> tuple[Health, ...]:
        """How each gateway has done since the store was opened."""
        return self._gateways.health()

    def resolve(self, name: str) -> Resolved:
        """What an IPNS or DNSLink name points to now, through further names to a CID.

        Args:
            name: ``/ipns/NAME``, ``ipns://NAME`` or ``NAME``, perhaps with a path.

        Returns:
            The path it leads to, how long that may be remembered, and whether signatures prove it.

        Raises:
            InvalidCid, UnsupportedContent: No name, or of a kind that is not read.
            BlobNotFound: No gateway knows it, or it leads in a circle.
            TierError: Some gateway could not tell.
        """
        return follow(name, self._step)

    def _step(self, name: Name) -> Resolved:
        found, failures = self._race(
            self._gateways.order(), lambda peer, line: self._names.ask(peer, name, line), _nothing
        )
        found = self._told(found, failures)
        if found is None:
            raise BlobNotFound(f"no gateway knows the name {name.text}", cid=name.text)
        return found

    # -- asking -----------------------------------------------------------------------------------

    def _ask(
        self, cid: Cid, attempt: Callable[[Peer, Line], T | None], discard: Callable[[Any], object]
    ) -> T | None:
        """Ask the gateways that are known, then those that routers find."""
        peers = self._gateways.order()
        found, failures = self._race(peers, attempt, discard)
        if found is None and self._routers and self.options.search:
            urls, more = self._routers.gateways(cid)
            fresh = self._gateways.add(urls)
            if fresh:
                found, late = self._race(fresh, attempt, discard)
                more = [*more, *late]
            failures = [*failures, *more]
        return self._told(found, failures)

    def _race(
        self,
        peers: Sequence[Peer],
        attempt: Callable[[Peer, Line], T | None],
        discard: Callable[[Any], object],
    ) -> tuple[T | None, list[TierError]]:
        if not peers:
            return None, []
        return ask_each(self._gateways, peers, attempt, discard, self.options.hedge)

    def _told(self, found: T | None, failures: list[TierError]) -> T | None:
        """The answer; None only when nobody who might have it kept silent.

        Raises:
            TierError: Some could not tell.
        """
        if found is not None:
            return found
        # What rests now may be what failed just now: then its own words say more.
        silent = [] if failures else self._gateways.silent()
        if failures or silent:
            raise summed_up([*failures, *silent])
        return None


def _nothing(_: object) -> None:
    return None


backend = BackendType(
    factory=Gateway,
    options=GatewayOptions,
    capabilities=Capabilities(form="dag", ranges=True, public=True),
)
