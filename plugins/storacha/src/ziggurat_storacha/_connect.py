"""From options to what talks: the service as our agent, the space, and the reader. Connects nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from attrs import frozen

from ziggurat.backend import Timeouts
from ziggurat.content import Cid
from ziggurat.errors import TierError
from ziggurat_storacha._options import StorachaOptions
from ziggurat_storacha.client import Pace, Transport
from ziggurat_storacha.client.agent import Agent, connect, options_of
from ziggurat_storacha.reading.direct import Direct
from ziggurat_storacha.reading.gateway import Gateway
from ziggurat_storacha.reading.nodes import Nodes
from ziggurat_storacha.reading.positions import Positions
from ziggurat_storacha.reading.reader import Reader
from ziggurat_storacha.uploads import Uploads

__all__ = ["Connection", "open_space"]

log = logging.getLogger("ziggurat.storacha")

_CONNECTIONS = 32


@frozen
class Connection:
    """What one configured space is talked to with.

    Attributes:
        agent: In whose name.
        uploads: The uploads of the space.
        reader: Gives blocks.
        positions: Where blocks lie, as far as it is known.
        options: What it was made of.
        spool: Folder for temporary files.
    """

    agent: Agent
    uploads: Uploads
    reader: Reader
    positions: Positions
    options: StorachaOptions
    spool: Path
    _nodes: Nodes
    _reading: Transport

    def index_names(self, root: Cid) -> list[bytes]:
        """Multihashes of the index blobs of an upload, as far as anybody says; a failure is logged."""
        direct = self.reader.direct
        if direct is None:
            return []
        try:
            return direct.index_names(root)
        except TierError as error:
            log.warning("the index of %s was not looked for: %s", root, error)
            return []

    def close(self) -> None:
        """Close the connections, and drop what is kept for reading."""
        self.agent.close()
        self._reading.close()
        self._nodes.close()


def open_space(options: StorachaOptions, timeouts: Timeouts, spool: Path) -> Connection:
    """Make what talks to a space; no connection is made.

    Args:
        options: Which service, which space, who we are; what they leave out the environment may say.
        timeouts: Seconds.
        spool: Folder for shards that have to be read whole.

    Raises:
        ConfigError: The options, or the state file, do not say who we are or which space it is.
    """
    options = options_of(options)
    agent = connect(options, timeouts=timeouts, folder=spool, connections=_CONNECTIONS)
    # Whoever serves reads says for itself when it wants a pause.
    pace = Pace(options.indexer_url or options.gateway_url, spool, options.wait_budget)
    reading = Transport(timeouts, pace, _CONNECTIONS)
    nodes, positions = Nodes(reading, spool), Positions()
    direct = Direct(reading, options.indexer_url, nodes, positions) if options.indexer_url else None
    gateway = Gateway(reading, options.gateway_url) if options.gateway_url else None
    uploads = Uploads(agent.service, agent.space(), shard_size=options.shard_size)
    return Connection(agent, uploads, Reader(direct, gateway), positions, options, spool, nodes, reading)
