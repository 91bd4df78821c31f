"""What one gateway is asked for: a block, the pairs of a DAG, or whether it holds something.

The core proves every byte, and a backend need not. This one proves each block as well, because it has several
media behind one tier: when the core finds a wrong block, it can blame the tier only, and the read would go on
at another tier; only here it is known which gateway sent it, so that this one can be dropped and the others
asked on. The price is a second hash of what crossed a network.
"""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.backend import ByteRange, Cid, Dag
from ziggurat.content import DAG_PB, decode_node, read_car
from ziggurat.errors import MalformedContent, TierError, TierUnavailable, Unsupported, UnsupportedContent
from ziggurat_ipfs.gateway._health import Gateways, Peer
from ziggurat_ipfs.gateway._http import Answer, Client
from ziggurat_ipfs.gateway._wire import Line

__all__ = ["CarStream", "Reads"]

RAW_TYPE, CAR_TYPE = "application/vnd.ipld.raw", "application/vnd.ipld.car"
_CAR_ACCEPT = f"{CAR_TYPE}; version=1; order=dfs; dups=n"
_CACHED = {"Cache-Control": "only-if-cached"}
_MOST_STRAYS, _MOST_STRAY_BYTES = 4096, 32 << 20
"""Pairs, and bytes of them, that a CAR may bring without use before it is read no further."""

_BROKEN = (MalformedContent, UnsupportedContent)


class Reads:
    """Questions to one gateway at a time.

    Args:
        client: Asks.
        gateways: Where a gateway that lies is dropped.
        max_block: Bytes of the largest block.
        search: Gateways may search their network.
        stall: Seconds that the next block of a CAR may take where another gateway could be asked for it.
    """

    def __init__(
        self, client: Client, gateways: Gateways, max_block: int, *, search: bool, stall: float
    ) -> None:
        self._client, self._gateways, self._max_block = client, gateways, max_block
        self._stall = min(stall, client.patience)
        self._more = {} if search else _CACHED

    def holds(self, peer: Peer, cid: Cid, line: Line) -> bool | None:
        """True if a gateway can give a block without a search, None if not; nothing is downloaded."""
        answer = self._ask("HEAD", _address(peer, cid, "format=raw"), RAW_TYPE, cid, line, _CACHED)
        if answer is None:
            return None
        answer.close()
        return True

    def block(self, peer: Peer, cid: Cid, line: Line) -> bytes | None:
        """One proved block, None if the gateway does not have it.

        Raises:
            CorruptBlob: It sent something else, and was dropped.
            TierError: It could not tell.
        """
        answer = self._ask("GET", _address(peer, cid, "format=raw"), RAW_TYPE, cid, line, self._more)
        if answer is None:
            return None
        try:
            _expect_type(peer, answer, RAW_TYPE)
            block = answer.body(self._max_block)
            framed = answer.framed
        finally:
            answer.close()
        if block is None:
            raise TierUnavailable(f"{peer.url} sends more than {self._max_block} bytes for one block, {cid}")
        if not cid.matches(block):
            if not framed:
                raise TierUnavailable(f"{peer.url} sent {cid} wrong, or cut short", retryable=True)
            raise self._gateways.drop(peer, f"gave bytes that are not the block {cid}")
        return block

    def dag(self, peer: Peer, cid: Cid, hint: ByteRange | None, line: Line) -> Dag | None:
        """Proved pairs of a dag-pb blob, its root at hand; None if the gateway does not have the root.

        A gateway that gives no CAR, or one without the root (Kubo's answer when it lacks the root: the text
        of an error within a 200), is asked for the root alone: the core asks for the rest by block.

        Raises:
            CorruptBlob: Its first pair was wrong, and it was dropped.
            TierError: It could not tell.
        """
        query = "format=car&dag-scope=entity"
        if hint is not None:
            query += f"&entity-bytes={hint.offset}:{hint.stop - 1}"
        try:
            answer = self._ask("GET", _address(peer, cid, query), _CAR_ACCEPT, cid, line, self._more)
            if answer is None:
                return None
            stream = CarStream(peer, cid, answer, self._gateways, self._max_block, self._patience())
            try:
                _expect_type(peer, answer, CAR_TYPE)
                if stream.open():
                    answer.rest()
                    return Dag(stream.pairs, close=stream.close)
            except BaseException:
                stream.close()
                raise
            stream.close()
        except Unsupported:
            pass
        root = self.block(peer, cid, line)
        return None if root is None else Dag(lambda: [(cid, root)])

    def _patience(self) -> float:
        """Seconds for each further block of a CAR: a stream is not hedged, so it may not dawdle."""
        return self._stall if len(self._gateways.order()) > 1 else self._client.patience

    def _ask(
        self, method: str, url: str, accept: str, cid: Cid, line: Line, more: dict[str, str]
    ) -> Answer | None:
        answer = self._client.ask(method, url, {"Accept": accept, **more}, line, cid)
        if answer.status == 200:
            return answer
        try:
            error = answer.refusal()
        finally:
            answer.close()
        if error is not None:
            raise error
        return None


class CarStream:
    """The pairs of a CAR as they arrive, proved; only blocks that the root leads to.

    Its roots are ignored. A block that nothing before it links to, or that was given already, is passed by:
    so what a reader holds is bounded by its own DAG, however long the gateway goes on.
    """

    def __init__(
        self, peer: Peer, root: Cid, answer: Answer, gateways: Gateways, max_block: int, patience: float
    ) -> None:
        self._peer, self._root, self._answer, self._gateways = peer, root, answer, gateways
        self._max_block, self._patience = max_block, patience
        self._wanted = {root.digest}
        self._given: set[bytes] = set()
        self._strays = self._stray_bytes = 0
        self._first: tuple[Cid, bytes] | None = None
        self._source: Iterator[tuple[Cid, bytes]] = iter(())

    def open(self) -> bool:
        """Read up to the root; False if the CAR is without it.

        Raises:
            CorruptBlob: A wrong block came first.
            TierUnavailable: It broke off.
        """
        try:
            self._source = iter(read_car(self._answer.pieces(), max_block=self._max_block))
            self._first = self._next()
        except _BROKEN:
            return False
        return self._first is not None

    def pairs(self) -> Iterator[tuple[Cid, bytes]]:
        """The proved pairs; where the gateway fails they end, and the core asks the others for the rest."""
        pair, self._first = self._first, None
        try:
            while pair is not None:
                # The clock runs while the gateway is waited for, not while the reader works.
                self._answer.rest()
                yield pair
                self._answer.limit(self._patience)
                try:
                    pair = self._next()
                except _BROKEN as error:
                    broken = TierUnavailable(f"the CAR of {self._root} does not parse: {error.message}")
                    self._gateways.failed(self._peer, broken, 0.0)
                    return
                except TierError as error:
                    if not self._peer.dropped:
                        self._gateways.failed(self._peer, error, 0.0)
                    return
        finally:
            self.close()

    def close(self) -> None:
        """Let the connection go; harmless when repeated."""
        self._answer.close()

    def _next(self) -> tuple[Cid, bytes] | None:
        for cid, block in self._source:
            if cid.digest not in self._wanted or cid.identity is not None:
                self._stray(len(block))
                continue
            if not cid.matches(block):
                raise self._gateways.drop(self._peer, f"gave a CAR with bytes that are not the block {cid}")
            self._wanted.discard(cid.digest)
            self._given.add(cid.digest)
            if cid.codec == DAG_PB:
                self._expect(block)
            return cid, block
        return None

    def _expect(self, block: bytes) -> None:
        try:
            links, _ = decode_node(block)
        except _BROKEN:
            return  # whose content is odd is for the core to say
        self._wanted.update(link.cid.digest for link in links if link.cid.digest not in self._given)

    def _stray(self, size: int) -> None:
        self._strays += 1
        self._stray_bytes += size
        if self._strays > _MOST_STRAYS or self._stray_bytes > _MOST_STRAY_BYTES:
            raise TierUnavailable(
                f"{self._peer.url} sends blocks again, or such that {self._root} does not lead to"
            )


def _address(peer: Peer, cid: Cid, query: str) -> str:
    return f"{peer.url}/ipfs/{cid.key}?{query}"


def _expect_type(peer: Peer, answer: Answer, expected: str) -> None:
    if answer.type != expected:
        raise Unsupported(
            f"{peer.url} sent {answer.type[:60]!r} where {expected} was asked; no trustless gateway"
        )
