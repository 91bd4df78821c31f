"""A backend against a dictionary: Hypothesis looks for a sequence of calls after which they differ."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from ziggurat.backend import ByteRange
from ziggurat.content import Cid
from ziggurat.testing import _rules as rules
from ziggurat.testing._content import noise
from ziggurat.testing._kit import Kit, Tier
from ziggurat.testing._samples import Sample, brief, samples

__all__ = ["MachineChecks"]

_BYTES = st.one_of(
    st.binary(max_size=40), st.builds(noise, st.sampled_from((999, 4096, 20_000)), st.integers(0, 5))
)


class MachineChecks:
    """Any sequence of calls, not only those that somebody thought of."""

    def test_any_sequence_of_calls_agrees_with_a_dictionary(self, kit: Kit) -> None:
        """Puts, reads, ranges, evicts, scans and reopenings in any order."""
        if kit.open().hooks.read_only:
            return
        run_state_machine_as_test(
            _machine(kit),
            settings=settings(
                max_examples=kit.subject.examples,
                stateful_step_count=50,
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )


def _machine(kit: Kit) -> type[RuleBasedStateMachine]:
    dags = [sample for sample in samples(kit).values() if sample.dag is not None]
    keys = [sample.key for sample in dags] or [kit.key(Cid.of(bytes([n])).key) for n in range(3)]
    some_key = st.sampled_from(keys)
    fitting = _BYTES.filter(kit.fits)

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.medium = kit.medium()
            self.tier: Tier = kit.open(self.medium)
            self.model: dict[str, Sample] = {}
            self.lingering: dict[str, Sample] = {}
            self.uncertain: set[str] = set()

        @precondition(lambda _: not kit.dag)
        @rule(key=some_key, data=fitting)
        def put_bytes(self, key: str, data: bytes) -> None:
            self._put(Sample(kit, key, key, data))

        @precondition(lambda _: not kit.dag)
        @rule(key=some_key, data=fitting)
        def put_blob(self, key: str, data: bytes) -> None:
            self._put(Sample(kit, key, key, data, piecewise=True))

        @precondition(lambda _: kit.dag)
        @rule(sample=st.sampled_from(dags) if dags else st.none())
        def put_dag(self, sample: Any) -> None:
            self._put(sample)

        def _put(self, sample: Sample) -> None:
            sample.place(self.tier)
            self.model[sample.key] = sample
            self.uncertain.discard(sample.key)

        @rule(key=some_key)
        def read(self, key: str) -> None:
            if key in self.model:
                self.model[key].expect(self.tier)
                return
            answer = self.tier.get(key)
            if answer is not None:
                before = self.lingering.get(key)
                shared = kit.dag and before is None
                rules.GET_NONE.check(before is not None or shared, f"get({key}) of what was never put")
                if before is not None:
                    before.compare(answer)

        @precondition(lambda _: kit.capabilities.ranges and not kit.dag)
        @rule(key=some_key, picks=st.tuples(st.floats(0, 1), st.floats(0, 1)))
        def read_range(self, key: str, picks: tuple[float, float]) -> None:
            data = self.model[key].data if key in self.model else None
            if not data:
                return
            start = min(int(picks[0] * len(data)), len(data) - 1)
            asked = ByteRange(start, max(1, int(picks[1] * (len(data) - start))))
            got, wanted = self.tier.read(key, asked), data[asked.offset : asked.stop]
            rules.GET_BYTES.check(got == wanted, f"{asked} of {len(data)} bytes gave {brief(got)}")

        @rule(key=some_key)
        def ask(self, key: str) -> None:
            if key not in self.uncertain:
                held = key in self.model
                rules.HAS.check(self.tier.has(key) == held, f"has({key}) is not {held}")
                described = self.tier.stat(key) is not None
                rules.STAT_NONE.check(described == held, f"stat({key}) is {'' if described else 'not '}there")

        @rule(key=some_key)
        def evict(self, key: str) -> None:
            gone = self.tier.evict(key)
            if key not in self.uncertain:
                rules.EVICT_ANSWER.check(gone.had == (key in self.model), f"evict({key}) is {gone.had}")
            if key in self.model:
                self.lingering[key] = self.model.pop(key)
            if gone.kept:
                self.uncertain.add(key)

        @precondition(lambda self: self.tier.hooks.scan is not None)
        @rule()
        def scan(self) -> None:
            listed = self.tier.scan()
            rules.SCAN_EACH.check(len(listed) == len(set(listed)), f"scan() lists a key twice: {listed}")
            missing = {str(key) for key in self.model} - set(listed)
            rules.SCAN_ENDS.check(not missing, f"scan() left out {sorted(missing)}")
            extra = set(listed) - {str(key) for key in (*self.model, *self.uncertain)}
            rules.SCAN_ONCE.check(not extra, f"scan() lists what is not held: {sorted(extra)}")

        @rule(close=st.booleans())
        def lose_the_notes(self, close: bool) -> None:
            self.tier.forget_notes()
            if close and not kit.capabilities.volatile:
                self.tier.close()
                self.tier = kit.open(self.medium)

        def teardown(self) -> None:
            for sample in self.model.values():
                sample.expect(self.tier)
            self.tier.close()

    return Machine
