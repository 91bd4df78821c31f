"""The kit asks a backend behind a network again, as a tier does, and no other."""

import pytest
from attrs import evolve

from ziggurat.backend import hookimpl
from ziggurat.errors import TierUnavailable
from ziggurat.testing import ContractBroken
from ziggurat.testing._kit import Kit

from .support import CAPABILITIES, Good, subject

REMOTE = evolve(CAPABILITIES, local=False)
KEY = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def failing(times, *, retryable=True):
    left = [times]

    class Failing(Good):
        @hookimpl
        def has(self, key):
            if left[0]:
                left[0] -= 1
                raise TierUnavailable("come back later", retryable=retryable)
            return super().has(key)

    return Failing


def has(backend, capabilities, tmp_path):
    kit = Kit(subject(backend, capabilities=capabilities), tmp_path)
    try:
        return kit.open().has(KEY)
    finally:
        kit.close()


def test_a_failure_that_may_pass_is_asked_again_where_there_is_a_network(tmp_path):
    assert has(failing(2), REMOTE, tmp_path) is False


@pytest.mark.parametrize(
    ("backend", "capabilities"),
    [(failing(1), CAPABILITIES), (failing(1, retryable=False), REMOTE), (failing(99), REMOTE)],
    ids=["local", "not retryable", "for ever"],
)
def test_any_other_failure_breaks_the_contract(backend, capabilities, tmp_path):
    with pytest.raises(ContractBroken, match="come back later"):
        has(backend, capabilities, tmp_path)
