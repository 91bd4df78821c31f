"""What the tests of the Storacha backend share: the real service, and what the official library recorded."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins.storacha.tests.running import Done, Run
from plugins.storacha.tests.spaces import Space, make_space
from tests.support.servers.storacha import OfficialCli, StorachaServer

from ziggurat.cli import main
from ziggurat_storacha import Storacha
from ziggurat_storacha.uploads import Uploads


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    """What -v does to the log ends with the test."""
    logger = logging.getLogger("ziggurat")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


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


@pytest.fixture
def space(storacha: StorachaServer) -> Space:
    """A space of its own; some modules have another that they share."""
    return make_space(storacha)


@pytest.fixture
def tier(space: Space, tmp_path: Path) -> Iterator[Storacha]:
    """A backend with small shards."""
    made = space.open(tmp_path, shard_size=1 << 20)
    yield made
    made.close()


@pytest.fixture
def uploads(tier: Storacha) -> Uploads:
    """What `tier` uploads with."""
    return tier.connection.uploads


@pytest.fixture(scope="session")
def official_home(
    storacha_session: StorachaServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder of an official command line that is logged in and has a space, and the space's DID."""
    folder = tmp_path_factory.mktemp("official")
    return folder, OfficialCli(storacha_session, folder).create_space("theirs", "official@example.org")


@pytest.fixture
def official_user(
    storacha: StorachaServer, official_home: tuple[Path, str], tmp_path: Path
) -> tuple[OfficialCli, str]:
    """An official command line with an account, and the DID of its space, into which nothing is uploaded."""
    folder, space = official_home
    shutil.copytree(folder, tmp_path / "cli")
    return OfficialCli(storacha, tmp_path / "cli"), space


@pytest.fixture(scope="session")
def official() -> dict[str, Any]:
    """What the official library signed and encoded: `tests.support.servers.storacha.record_vectors`."""
    recorded: dict[str, Any] = json.loads((Path(__file__).parent / "vectors/official.json").read_text())
    return recorded


@pytest.fixture
def environment(storacha: StorachaServer, tmp_path: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("STORACHA_", "XDG_"))}
    return {
        **own,
        "HOME": str(tmp_path / "home"),
        "STORACHA_SERVICE_URL": storacha.url,
        "STORACHA_SERVICE_DID": storacha.did,
    }


@pytest.fixture
def run(
    environment: dict[str, str],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a command with --json, in this process; gives its records."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name not in environment]:
        monkeypatch.delenv(name)

    def call(*args: object, stdin: bytes = b"", **more: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in {**environment, **more}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            capfdbinary.readouterr()
            code = main(["storacha", *map(str, args), "--json"])
            out, err = capfdbinary.readouterr()
        return Done(code, out.decode(), err.decode())

    return call
