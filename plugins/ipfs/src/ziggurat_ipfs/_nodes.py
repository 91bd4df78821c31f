"""The addresses of a tier: which one answers, and which may speak for the tier."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ziggurat.backend import Timeouts
from ziggurat.errors import TierError, TierUnavailable
from ziggurat_ipfs._address import Address, api_file, parse_address
from ziggurat_ipfs._errors import Refused, refusal
from ziggurat_ipfs._options import IpfsOptions
from ziggurat_ipfs._rpc import Rpc, Unreached, authorization

__all__ = ["Nodes"]

T = TypeVar("T")

_REST = 10.0  # seconds for which an address that could not be reached is asked last


class Nodes:
    """The tier's node, and others that may stand in for it.

    A tier is one node, known by its peer ID: what it keeps are that node's pins. Reading is different,
    because every block proves itself: any node may give it.

    Args:
        options: Name the addresses.
        timeouts: Seconds.
    """

    def __init__(self, options: IpfsOptions, timeouts: Timeouts) -> None:
        self._options, self._timeouts = options, timeouts
        self._lock = threading.Lock()
        self._rpcs: list[Rpc] = []
        self._from_file: Address | None = None
        self._resting: dict[Rpc, float] = {}
        self._peer = options.peer
        self._closed = False

    def reading(self, ask: Callable[[Rpc], T | None]) -> T | None:
        """Ask one address after another, until one has an answer.

        Raises:
            TierError: Some address could not answer, and none had anything.
        """
        failure: TierError | None = None
        for rpc in self._in_order():
            try:
                found = self._asked(rpc, ask)
            except TierError as error:
                failure = failure or error
            else:
                if found is not None:
                    return found
        if failure is not None:
            raise failure
        return None

    def claiming(self, ask: Callable[[Rpc], T]) -> T:
        """Ask the node that the tier is, by any address at which it can be reached.

        Raises:
            TierError: It could not be reached, or failed; the first address's error.
        """
        failure: TierError | None = None
        for rpc in self._in_order():
            try:
                if self._speaks_for_us(rpc):
                    return self._asked(rpc, ask, passing=True)
            except Unreached as unreached:
                failure = failure or unreached.error
        raise failure or TierUnavailable("none of the addresses in api is the node of this tier: correct api")

    def peer(self) -> str:
        """The tier's peer ID.

        Raises:
            TierError: It could not be asked.
        """
        return self.claiming(lambda rpc: rpc.ask_peer())

    def close(self) -> None:
        """Close all connections; nothing can be asked afterwards."""
        with self._lock:
            self._closed = True
            rpcs, self._rpcs = self._rpcs, []
        for rpc in rpcs:
            rpc.close()

    def _asked(self, rpc: Rpc, ask: Callable[[Rpc], T], *, passing: bool = False) -> T:
        try:
            answer = ask(rpc)
        except Refused as refused:
            raise refusal(refused) from refused
        except Unreached as unreached:
            self._resting[rpc] = time.monotonic() + _REST
            if passing:
                raise
            raise unreached.error from unreached
        self._resting.pop(rpc, None)
        return answer

    def _speaks_for_us(self, rpc: Rpc) -> bool:
        """Whether what answers at an address is the node of this tier."""
        if rpc.peer and rpc.peer == self._peer:
            return True
        rpcs = self._rpcs  # another thread may close them all meanwhile
        first = rpcs[:1] == [rpc]
        if not self._peer and not first:
            return False  # without the first address nobody knows who the tier is
        peer = self._asked(rpc, lambda one: one.ask_peer(), passing=True)
        if not self._peer:
            self._peer = peer
        if peer == self._peer:
            return True
        if len(rpcs) > 1 and not first:
            return False
        raise TierUnavailable(
            f"the node at {rpc} is {peer}, not {self._peer}: start the right one, or correct api or peer"
        )

    def _in_order(self) -> Iterator[Rpc]:
        with self._lock:
            if self._closed:
                raise TierUnavailable("the tier was closed; open the store again")
            self._look_up()
            rpcs = list(self._rpcs)
        now = time.monotonic()
        yield from (rpc for rpc in rpcs if self._resting.get(rpc, 0.0) <= now)
        yield from (rpc for rpc in rpcs if self._resting.get(rpc, 0.0) > now)

    def _look_up(self) -> None:
        """Make the connections' pools; the api file is read again, because a daemon may choose its port."""
        if self._options.api:
            if not self._rpcs:
                self._rpcs = [self._rpc(parse_address(text)) for text in self._options.api]
            return
        path = api_file(self._options.repo)
        try:
            address = parse_address(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise TierUnavailable(
                f"there is no {path}, so no daemon runs there: start it, or set api", retryable=True
            ) from error
        except (OSError, ValueError) as error:
            raise TierUnavailable(f"{path} cannot be used ({error}): set api") from error
        if address != self._from_file:
            for old in self._rpcs:
                old.close()
            self._from_file, self._rpcs = address, [self._rpc(address)]

    def _rpc(self, address: Address) -> Rpc:
        options = self._options
        return Rpc(address, authorization(options.token, options.user, options.password), self._timeouts)
