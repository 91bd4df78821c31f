import pytest

from ziggurat.testing import BackendConformance, Subject
from ziggurat_memory import Options, backend


class TestMemory(BackendConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(backend, lambda medium: Options())
