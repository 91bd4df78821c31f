"""The dag form: the contract that IPFS and Storacha will find."""

from collections import defaultdict
from pathlib import Path

import pytest

from ziggurat.testing import BackendConformance, Subject

from .support.dag_backend import DagMedium, DagOptions, backend


class TestDagBackend(BackendConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        media: defaultdict[Path, DagMedium] = defaultdict(DagMedium)

        def pull_the_cable(path: Path) -> None:
            media[path].down = True

        return Subject(backend, lambda path: DagOptions(media[path]), break_medium=pull_the_cable)
