"""For authors of backends, and for tests of the core: the contract as a test, and media that fail on order.

Needs the extra ``ziggurat[testing]`` (pytest and hypothesis).
"""

from __future__ import annotations

from ziggurat.testing._conformance import BackendConformance
from ziggurat.testing._kit import Kit, Subject, Tier
from ziggurat.testing._policy import PolicyConformance
from ziggurat.testing._rules import ContractBroken, Rule
from ziggurat.testing.faulty import Fault, FaultyBackend

__all__ = [
    "BackendConformance",
    "ContractBroken",
    "Fault",
    "FaultyBackend",
    "Kit",
    "PolicyConformance",
    "Rule",
    "Subject",
    "Tier",
]
