import pytest

from ziggurat.policy import arc, heat, lru, s3fifo, score
from ziggurat.testing import PolicyConformance


class TestArc(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return arc.policy


class TestHeat(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return heat.policy


class TestLru(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return lru.policy


class TestS3Fifo(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return s3fifo.policy


class TestHeatScore(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return score.policy
