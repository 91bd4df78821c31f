"""From options to what talks: the service as our agent, the space, and the reader. Connects nothing."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from ziggurat.backend import Timeouts
from ziggurat.errors import ConfigError
from ziggurat_storacha._options import StorachaOptions
from ziggurat_storacha.client import Endpoints, Key, Pace, Proofs, Service, Transport, from_text
from ziggurat_storacha.reading.direct import Direct
from ziggurat_storacha.reading.gateway import Gateway
from ziggurat_storacha.reading.nodes import Nodes
from ziggurat_storacha.reading.positions import Positions
from ziggurat_storacha.reading.reader import Reader
from ziggurat_storacha.uploads import Uploads

__all__ = ["Connection", "connect"]

_CONNECTIONS = 32


@frozen
class Connection:
    """What one configured space is talked to with.

    Attributes:
        uploads: The uploads of the space.
        reader: Gives blocks.
        positions: Where blocks lie, as far as it is known.
    """

    uploads: Uploads
    reader: Reader
    positions: Positions
    _nodes: Nodes
    _reading: Transport

    def close(self) -> None:
        """Close the connections, and drop what is kept for reading."""
        self.uploads.service.close()
        self._reading.close()
        self._nodes.close()


def connect(options: StorachaOptions, timeouts: Timeouts, spool: Path) -> Connection:
    """Make what talks to a space; no connection is made.

    Raises:
        ConfigError: The options, or the state file, do not say who we are or which space it is.
    """
    if not options.key:
        raise ConfigError("no agent: set key, and proof")
    key, proofs = Key.parse(options.key), Proofs()
    if options.proof:
        proofs.add(from_text(options.proof))
    if not options.space:
        raise ConfigError("no space: set space")
    endpoints = Endpoints(options.service_url, options.service_did, options.service_key, options.receipts_url)
    pace = Pace(options.service_url, spool, options.wait_budget)
    service = Service(endpoints, key, proofs, Transport(timeouts, pace, _CONNECTIONS))
    # Whoever serves reads says for itself when it wants a pause.
    reads = Pace(options.indexer_url or options.gateway_url, spool, options.wait_budget)
    reading = Transport(timeouts, reads, _CONNECTIONS)
    nodes, positions = Nodes(reading, spool), Positions()
    direct = Direct(reading, options.indexer_url, nodes, positions) if options.indexer_url else None
    gateway = Gateway(reading, options.gateway_url) if options.gateway_url else None
    uploads = Uploads(service, options.space, shard_size=options.shard_size)
    return Connection(uploads, Reader(direct, gateway), positions, nodes, reading)
