"""The hooks of the ipfs backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from ziggurat.backend import (
    BackendType,
    Capabilities,
    Context,
    Dag,
    Evicted,
    Info,
    Key,
    Medium,
    Stat,
    as_key,
    hookimpl,
)
from ziggurat.content import DAG_PB, Cid
from ziggurat.errors import BlobNotFound, ZigguratError
from ziggurat_ipfs._claims import Claims
from ziggurat_ipfs._errors import Refused, refusal
from ziggurat_ipfs._names import Name, Resolved, follow
from ziggurat_ipfs._nodes import Nodes
from ziggurat_ipfs._options import IpfsOptions
from ziggurat_ipfs._pins import Pin, list_pins, pins_of, root_of
from ziggurat_ipfs._put import put_dag, put_small
from ziggurat_ipfs._read import describe, read_block, read_dag
from ziggurat_ipfs._resolve import ask_name
from ziggurat_ipfs._verify import prove_pin

__all__ = ["Ipfs", "backend"]


class Ipfs:
    """A Kubo node whose recursive pins are the copies.

    Args:
        options: ``[tier.options]``.
        context: Tells timeouts, and the catalog whose identifier names our pins.
    """

    def __init__(self, options: IpfsOptions, context: Context) -> None:
        self._options, self._context = options, context
        self._nodes = Nodes(options, context.timeouts)
        self._claims = Claims(options.pin_id or context.catalog or context.tier)
        self._lock = threading.Lock()

    @hookimpl
    def get(self, key: str) -> bytes | Dag | None:
        """Give a block, or the stream of a DAG; searches the network only when the tier says so."""
        asked = as_key(key)
        patience = self._options.network_timeout if self._options.network else None
        if asked.kind == "plain" and asked.cid.codec == DAG_PB:
            return self._nodes.reading(lambda rpc: read_dag(rpc, asked.cid, patience))
        return self._nodes.reading(lambda rpc: read_block(rpc, asked.cid, patience))

    @hookimpl
    def put(self, key: str, content: Dag) -> Stat:
        """Import a DAG and pin it; a root that is pinned already is acknowledged at once."""
        cid = as_key(key).cid
        self._nodes.claiming(lambda rpc: put_dag(rpc, cid, content, self._claims, self._options.provide))
        return Stat(stored=content.size)

    @hookimpl
    def put_many(self, items: Sequence[tuple[Key, Dag, Info | None]]) -> Sequence[Stat | ZigguratError]:
        """Import small DAGs in one CAR, larger ones each in its own."""
        dags = [(key.cid, dag) for key, dag, _ in items]
        return self._nodes.claiming(lambda rpc: put_small(rpc, dags, self._claims, self._options.provide))

    @hookimpl
    def has(self, key: str) -> bool:
        """Tell whether the root is pinned, by whomever."""
        cid = as_key(key).cid
        return self._nodes.claiming(lambda rpc: bool(pins_of(rpc, cid, first=True)))

    @hookimpl
    def stat(self, key: str) -> Stat | None:
        """Tell a pinned root's size, from its root block alone."""
        cid = as_key(key).cid
        return self._nodes.claiming(lambda rpc: describe(rpc, cid) if pins_of(rpc, cid, first=True) else None)

    @hookimpl
    def evict(self, key: str) -> Evicted:
        """Drop our pin; somebody else's stays, and the answer says so."""
        cid = as_key(key).cid
        gone, dropped = self._nodes.claiming(lambda rpc: self._claims.release(rpc, cid))
        if dropped and self._options.collect:
            self._collect()
        return gone

    @hookimpl
    def scan(self) -> Iterator[str]:
        """List the roots that are pinned in our name."""
        seen: set[Cid] = set()
        for pin in self.pins():
            if self._claims.ours(pin) and (cid := root_of(pin)) is not None and cid not in seen:
                if cid.codec == DAG_PB:
                    seen.add(cid)  # only these can be pinned in two versions
                yield str(cid.key)

    @hookimpl
    def identify(self) -> Medium:
        """Give the node's peer ID."""
        return Medium(self._nodes.peer())

    @hookimpl
    def close(self) -> None:
        """Close the connections."""
        self._nodes.close()

    # -- for the commands -----------------------------------------------------------------------

    @property
    def claims(self) -> Claims:
        """Which pins are ours."""
        return self._claims

    def pins(self, kind: str = "recursive") -> Iterator[Pin]:
        """Every pin of the node of a kind, whoever made it.

        Args:
            kind: "recursive", "direct", "indirect" or "all".

        Raises:
            TierError: The list could not be begun, or not be completed.
        """
        try:
            yield from self._nodes.claiming(lambda rpc: list_pins(rpc, kind))
        except Refused as refused:
            raise refusal(refused) from refused

    def resolve(self, name: str) -> Resolved:
        """What an IPNS or DNSLink name points to now, as the node knows it or (``network``) finds it out.

        Args:
            name: ``/ipns/NAME``, ``ipns://NAME`` or ``NAME``, perhaps with a path.

        Raises:
            InvalidCid, UnsupportedContent: No name, or of a kind that is not read.
            BlobNotFound: The node knows no such name, or it leads in a circle.
            TierError: The node could not tell.
        """
        return follow(name, self._step)

    def _step(self, name: Name) -> Resolved:
        patience = self._options.network_timeout if self._options.network else None
        found = self._nodes.reading(lambda rpc: ask_name(rpc, name, patience))
        if found is None:
            more = "" if self._options.network else "; with network = true it asks the network"
            raise BlobNotFound(f"the node does not know the name {name.text}{more}", cid=name.text)
        return found

    def prove(self, cid: str, progress: Callable[[int], object] | None = None) -> tuple[int, int]:
        """Read and prove all blocks of a pin; gives their number and bytes. See `prove_pin`."""
        return self._nodes.claiming(lambda rpc: prove_pin(rpc, cid, progress))

    def _collect(self) -> None:
        """Have the node collect garbage. The claim is gone already, so a failure is no error of the evict."""
        with self._lock:
            try:
                self._nodes.claiming(lambda rpc: rpc.call("repo/gc", quiet="true"))
            except ZigguratError as error:
                self._context.logger.warning("the node did not collect its garbage: %s", error)


backend = BackendType(
    factory=Ipfs,
    options=IpfsOptions,
    capabilities=Capabilities(form="dag", ranges=False, public=True, durable=True),
)
