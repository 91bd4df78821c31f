from pathlib import Path

import pytest

from ziggurat.backend import Role
from ziggurat.testing import BackendConformance, Subject
from ziggurat_disk import DiskOptions, backend


@pytest.mark.parametrize(("role", "small"), [("store", 0), ("store", 1000), ("cache", 64 << 10)])
class TestDisk(BackendConformance):
    @pytest.fixture
    def subject(self, role: Role, small: int) -> Subject:
        def unmount(medium: Path) -> None:
            medium.rename(medium.with_name("elsewhere"))

        def options(medium: Path) -> DiskOptions:
            return DiskOptions(path=medium, small=small, min_free=0)

        return Subject(backend, options, role=role, break_medium=unmount)
