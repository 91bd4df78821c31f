"""Backends that are right, whatever they can and cannot do; and what the kit finds without a sentence."""

import pytest

import ziggurat.backend
from ziggurat.backend import Blob, Capabilities, Evicted, hookimpl
from ziggurat.testing import BackendConformance
from ziggurat.testing import _rules as rules

from .support import Good, first_to_name, subject


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"role": "cache"},
        {"capabilities": Capabilities(ranges=False, local=True, durable=True)},
        {"capabilities": Capabilities(volatile=True)},
        {"capabilities": Capabilities(max_blob=4096, durable=True)},
        {"break_medium": None},
    ],
    ids=str,
)
def test_the_backend_that_they_break_is_right(more, tmp_path):
    assert list(BackendConformance.failures(subject(Good, **more), tmp_path)) == []


class ReadOnly:
    """A gateway: what is there was put by others."""

    def __init__(self, options, context):
        self.good = Good(options, context)

    @hookimpl
    def get(self, key, byte_range):
        return self.good.get(key, byte_range, None)

    @hookimpl
    def has(self, key):
        return self.good.has(key)

    @hookimpl
    def stat(self, key):
        return self.good.stat(key)


def test_a_read_only_backend_is_tested_as_a_source(tmp_path):
    right = subject(ReadOnly)
    assert list(BackendConformance.failures(right, tmp_path)) == []
    assert ziggurat.testing.Kit(right, tmp_path).role == "source"


def test_a_read_only_backend_that_gives_something_else_is_caught(tmp_path):
    class Shifts(ReadOnly):
        @hookimpl
        def get(self, key, byte_range):
            answer = super().get(key, None)
            data = answer.read() if isinstance(answer, Blob) else answer
            return data and data[byte_range.offset + 1 : byte_range.stop + 1] if byte_range else data

    first_to_name(rules.GET_BYTES, subject(Shifts), tmp_path)


def test_a_read_only_backend_without_a_seed_is_told_what_it_needs(tmp_path):
    failed = dict(BackendConformance.failures(subject(ReadOnly, seed=None), tmp_path))
    assert any("Subject(seed=...)" in str(error) for error in failed.values())


def test_what_a_medium_goes_on_holding_is_no_fault(tmp_path):
    class Keeps(Good):
        @hookimpl
        def evict(self, key):
            return Evicted(str(key) in self.shelf.held, "somebody else pinned it")

    failed = dict(BackendConformance.failures(subject(Keeps), tmp_path))
    assert not {name for name in failed if "evict" in name}


def test_the_state_machine_finds_a_sequence_that_no_check_thought_of(tmp_path):
    class Sneaky(Good):
        """Forgets a key that is put, evicted, and put again after a scan."""

        @hookimpl
        def scan(self):
            self.seen = {"scanned"}
            return super().scan()

        @hookimpl
        def evict(self, key):
            if hasattr(self, "seen"):
                self.seen.add(str(key))
            return super().evict(key, None)

        @hookimpl
        def put(self, key, content, info):
            stat = super().put(key, content, info)
            if str(key) in getattr(self, "seen", ()):
                del self.shelf.held[str(key)]
            return stat

    failed = dict(BackendConformance.failures(subject(Sneaky, examples=300), tmp_path))
    assert "test_any_sequence_of_calls_agrees_with_a_dictionary" in failed
