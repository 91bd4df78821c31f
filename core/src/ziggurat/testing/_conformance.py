"""The conformance test of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ziggurat.testing._kit import Kit, Subject
from ziggurat.testing._lasting import LastingChecks
from ziggurat.testing._machine import MachineChecks
from ziggurat.testing._reading import DagChecks, ReadingChecks
from ziggurat.testing._writing import ThreadChecks, WritingChecks

__all__ = ["BackendConformance"]


class BackendConformance(ReadingChecks, WritingChecks, ThreadChecks, LastingChecks, DagChecks, MachineChecks):
    """The checks of the contract; a test file subclasses it and gives one fixture.

    ::

        class TestMine(BackendConformance):
            @pytest.fixture
            def subject(self):
                return Subject(backend, lambda medium: Options(path=medium))

    The checks adapt to the backend: its form, its role, its capabilities and the hooks that it implements.
    What does not concern a backend asks nothing of it and passes. A failing check quotes the sentence of the
    contract that is broken. The hooks are called as the core calls them, through
    `ziggurat.plugin.binding.bind`.
    """

    @classmethod
    def failures(cls, subject: Subject, folder: Path) -> Iterator[tuple[str, Exception]]:
        """Run the checks without pytest.

        Args:
            subject: What is tested.
            folder: An empty folder.

        Returns:
            An iterator that runs them one by one and yields name and exception of those that fail.
        """
        # The state machine comes last: what it finds takes it long to make small.
        names = sorted((name for name in dir(cls) if name.startswith("test_")), key=_last)
        for name in names:
            kit = Kit(subject, folder / name)
            kit.folder.mkdir()
            try:
                getattr(cls(), name)(kit)
                kit.close()
            except Exception as error:  # noqa: BLE001 - whatever a check raises is its result
                yield name, error

    @pytest.fixture
    def subject(self) -> Subject:
        """What is tested: every subclass says it."""
        raise TypeError(f"{type(self).__name__} needs a fixture `subject` that returns a Subject")

    @pytest.fixture
    def kit(self, subject: Subject, tmp_path: Path) -> Iterator[Kit]:
        """Media, tiers and keys for one check."""
        kit = Kit(subject, tmp_path)
        yield kit
        kit.close()


def _last(name: str) -> tuple[bool, str]:
    return name in vars(MachineChecks), name
