"""What the tests of the Storacha backend share: the real service, and what the official library recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.storacha import StorachaServer


@pytest.fixture(scope="session")
def storacha_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorachaServer]:
    """One running service for a whole run; ask for `storacha` instead, which has no faults."""
    server = StorachaServer(tmp_path_factory.mktemp("storacha")).start()
    yield server
    server.stop()


@pytest.fixture
def storacha(storacha_session: StorachaServer) -> Iterator[StorachaServer]:
    """A running service with an empty log; what tests keep apart is their spaces."""
    storacha_session.forget()
    yield storacha_session
    storacha_session.heal()
    storacha_session.auto_click(True)


@pytest.fixture(scope="session")
def official() -> dict[str, Any]:
    """What the official library signed and encoded: see ``tests/support/servers/storacha/vectors.mjs``."""
    recorded: dict[str, Any] = json.loads((Path(__file__).parent / "vectors/official.json").read_text())
    return recorded
