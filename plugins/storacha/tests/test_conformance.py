"""The contract, on the real upload service: a space for each medium."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.storacha.tests.spaces import Space, make_space
from tests.support.servers.storacha import StorachaServer

from ziggurat.testing import BackendConformance, Subject
from ziggurat_storacha import StorachaOptions, backend


class TestStoracha(BackendConformance):
    @pytest.fixture
    def subject(self, storacha: StorachaServer) -> Subject:
        spaces: dict[Path, Space] = {}

        def options(medium: Path) -> StorachaOptions:
            if medium not in spaces:
                spaces[medium] = make_space(storacha)
            return spaces[medium].options()

        def break_medium(_: Path) -> None:
            storacha.fault(times=None)

        return Subject(backend, options, break_medium=break_medium, examples=3)
