"""The contract, on real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers.kubo import KuboNode

from ziggurat.testing import BackendConformance, Subject
from ziggurat_ipfs import IpfsOptions, backend

_AT_ONCE = 3  # media that one check uses at a time


class Media:
    """Nodes for media, a few, emptied and used again: no check uses more than `_AT_ONCE` at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: list[KuboNode] = []
        self._given: dict[Path, KuboNode] = {}

    def node(self, medium: Path) -> KuboNode:
        node = self._given.pop(medium, None)
        if node is None:
            if len(self._nodes) < _AT_ONCE:
                node = KuboNode(self._folder / f"node-{len(self._nodes)}").start()
                self._nodes.append(node)
            else:
                free = [one for one in self._nodes if one not in self._given.values()]
                node = free[0] if free else self._given.pop(next(iter(self._given)))
                if not node.api:
                    node.start()
                node.wipe()
        self._given[medium] = node  # the one used last stands last
        return node

    def close(self) -> None:
        for node in self._nodes:
            node.remove()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Media]:
    found = Media(tmp_path_factory.mktemp("media"))
    yield found
    found.close()


class TestIpfs(BackendConformance):
    @pytest.fixture
    def subject(self, media: Media) -> Subject:
        def options(medium: Path) -> IpfsOptions:
            return IpfsOptions(api=media.node(medium).api)

        return Subject(backend, options, break_medium=lambda medium: media.node(medium).kill(), examples=6)
