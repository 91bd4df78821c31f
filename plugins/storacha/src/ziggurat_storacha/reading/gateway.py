"""Reading from a gateway, by the trustless gateway specification: raw blocks, and CARs of whole DAGs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from ziggurat.content import MAX_BLOCK, Cid, Dag, read_car
from ziggurat.errors import MalformedContent, TierUnavailable
from ziggurat_storacha.client.transport import Transport

__all__ = ["Gateway"]

_OPTION = "gateway_url"
_RAW, _CAR = "application/vnd.ipld.raw", "application/vnd.ipld.car"
_ABSENT = (404, 410)


class Gateway:
    """One gateway. Safe to use from several threads.

    Args:
        transport: How to ask.
        url: As it stands before ``/ipfs/``.
    """

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url.rstrip("/")

    def block(self, cid: Cid) -> bytes | None:
        """One block, None if the gateway does not find it; not proved.

        Raises:
            TierError: It could not be told.
        """
        reply = self._transport.fetch(
            "GET",
            f"{self._url}/ipfs/{cid}?format=raw",
            option=_OPTION,
            headers={"Accept": _RAW},
            expect=(200, *_ABSENT),
            redirects=True,
            limit=MAX_BLOCK,
        )
        return None if reply.status in _ABSENT else reply.body

    def dag(self, root: Cid) -> Dag | None:
        """The blocks of a DAG, root first, None if the gateway does not find it; not proved.

        Raises:
            TierError: It could not be told; the pairs too, where the answer breaks off.
        """
        stack = ExitStack()
        response = stack.enter_context(
            self._transport.open(
                "GET",
                f"{self._url}/ipfs/{root}?format=car&dag-scope=all",
                option=_OPTION,
                headers={"Accept": f"{_CAR}; version=1; order=dfs; dups=y"},
                expect=(200, *_ABSENT),
                redirects=True,
            )
        )
        if response.status_code in _ABSENT:
            stack.close()
            return None
        pieces = self._transport.pieces(response, _OPTION, 1 << 18)

        def pairs() -> Iterator[tuple[Cid, bytes]]:
            try:
                with stack:
                    yield from read_car(pieces)
            except MalformedContent as error:
                raise TierUnavailable(
                    f"{self._url}: {error.message}; try again, or set indexer_url", retryable=True
                ) from error

        return Dag(pairs, close=stack.close)
