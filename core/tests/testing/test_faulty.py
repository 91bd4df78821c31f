import threading
import time

import pytest

from ziggurat.backend import Blob, Cid, Dag, hookimpl
from ziggurat.errors import TierFull, TierUnavailable
from ziggurat.plugin.binding import bind
from ziggurat.plugin.registry import Provider
from ziggurat.testing import BackendConformance, Fault, FaultyBackend
from ziggurat.testing._content import bytes_of, file, noise

from .support import Good, Options, subject
from .test_right import ReadOnly

KEY = Cid.of(b"some").key
DATA = noise(101, 1)


class Context:
    catalog = "c"


def faulty(*faults, data=DATA):
    plugin = FaultyBackend(Good(Options(), Context()), faults)
    plugin.hooks.put(KEY, data, None)
    return plugin, bind(plugin, provider=Provider("faulty", "test", "1"), tier="t")


@pytest.mark.parametrize("kind", [Good, ReadOnly])
def test_without_faults_it_is_what_it_wraps(kind, tmp_path):
    wrapped = subject(lambda options, context: FaultyBackend(kind(options, context)))
    assert list(BackendConformance.failures(wrapped, tmp_path)) == []


def test_it_implements_what_the_inner_one_implements():
    for kind in (Good, ReadOnly):
        inner = bind(kind(Options(), Context()), provider=Provider("x", "x", "1"), tier="t")
        outer = bind(FaultyBackend(inner.plugin), provider=Provider("x", "x", "1"), tier="t")
        for name in ("put", "evict", "put_many", "scan", "identify", "close"):
            assert (getattr(inner, name) is None) == (getattr(outer, name) is None)


@pytest.mark.parametrize(
    "op", ["get", "has", "stat", "put", "evict", "put_many", "scan", "identify", "close"]
)
@pytest.mark.parametrize("effect", ["raise", "lose"])
def test_any_call_can_fail_before_or_after_its_work(op, effect):
    error = TierFull("on order")
    plugin, hooks = faulty(Fault(op, effect, calls={2}, error=error))
    arguments = {
        "get": (KEY, None, None),
        "has": (KEY,),
        "stat": (KEY,),
        "put": (KEY, b"new", None),
        "evict": (KEY, None),
        "put_many": ([(KEY, b"new", None)],),
        "identify": (True,),
    }.get(op, ())
    getattr(hooks, op)(*arguments)
    plugin.hooks.put(KEY, DATA, None)
    with pytest.raises(TierFull) as caught:
        getattr(hooks, op)(*arguments)
    assert caught.value is error
    changed = effect == "lose"
    assert plugin.hooks.has(KEY) == (not (changed and op == "evict"))
    if op in ("put", "put_many"):
        assert bytes_of(plugin.hooks.get(KEY, None, None)) == (b"new" if changed else DATA)
    getattr(hooks, op)(*arguments)
    assert plugin.count(op) == 3
    assert [called for called, _ in plugin.calls] == [op] * 3


@pytest.mark.parametrize("data", [DATA, DATA[:100]], ids=["a Blob", "bytes"])
@pytest.mark.parametrize(
    ("fault", "change"),
    [
        (Fault("get", "short", at=7), lambda data: data[:7]),
        (Fault("get", "short", at=-1), lambda data: data[:-1]),
        (Fault("get", "long"), lambda data: data + b"!"),
        (Fault("get", "wrong", at=3), lambda data: data[:3] + bytes([data[3] ^ 1]) + data[4:]),
        (Fault("get", "wrong", at=-1), lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    ],
    ids=["cut at 7", "cut by one", "one too many", "a wrong byte", "a wrong last byte"],
)
def test_what_is_read_can_be_spoilt(fault, change, data):
    plugin, hooks = faulty(fault, data=data)
    answer = hooks.get(KEY, None, None)
    assert b"".join(answer.chunks() if isinstance(answer, Blob) else [answer]) == change(data)
    plugin.faults.clear()
    assert bytes_of(hooks.get(KEY, None, None)) == data


def test_a_read_can_break_in_the_middle():
    _, hooks = faulty(Fault("get", "break", at=9))
    answer = hooks.get(KEY, None, None)
    assert answer.size == len(DATA)
    chunks = answer.chunks()
    assert next(chunks) == DATA[:9]
    with pytest.raises(TierUnavailable):
        next(chunks)


def test_what_is_put_can_be_spoilt():
    plugin, hooks = faulty(Fault("put", "wrong"), Fault("put", "short", at=4))
    hooks.put(KEY, DATA, None)
    assert bytes_of(plugin.hooks.get(KEY, None, None)) == bytes([DATA[0] ^ 1]) + DATA[1:4]


def test_answers_can_be_denied():
    _, hooks = faulty(Fault("*", "absent"))
    assert hooks.get(KEY, None, None) is None
    assert hooks.has(KEY) is False
    assert hooks.stat(KEY) is None
    assert hooks.identify(True) is None


def test_faults_may_be_for_certain_keys():
    other = Cid.of(b"other").key
    _, hooks = faulty(Fault("has", "raise", keys={other}))
    assert hooks.has(KEY)
    with pytest.raises(TierUnavailable):
        hooks.has(other)


def test_a_scan_can_break_or_end_early():
    plugin, hooks = faulty(Fault("scan", "short", at=1))
    plugin.hooks.put(Cid.of(b"other").key, b"", None)
    assert len(list(hooks.scan())) == 1
    plugin.faults[:] = [Fault("scan", "break", at=1)]
    keys = hooks.scan()
    next(keys)
    with pytest.raises(TierUnavailable):
        next(keys)


def test_a_call_can_wait_for_the_test():
    gate = threading.Event()
    _, hooks = faulty(Fault("has", "wait", gate=gate))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(hooks.has(KEY)))
    thread.start()
    time.sleep(0.05)
    assert answers == []
    gate.set()
    thread.join(60)
    assert answers == [True]


def test_a_dag_can_be_spoilt():
    sample = file(noise(2000, 2))
    whole = list(sample.blocks.items())

    class OneDag(ReadOnly):
        @hookimpl
        def get(self, key):
            return sample.dag()

    def pairs(*faults):
        plugin = FaultyBackend(OneDag(Options(), Context()), faults)
        answer = bind(plugin, provider=Provider("x", "x", "1"), tier="t").get(sample.root.key, None, None)
        assert isinstance(answer, Dag)
        return answer.pairs()

    assert list(pairs()) == whole
    assert list(pairs(Fault("get", "short", at=-2))) == whole[:-2]
    assert list(pairs(Fault("get", "long")))[:-1] == whole
    spoilt = list(pairs(Fault("get", "wrong", at=-1)))
    assert spoilt[:-1] == whole[:-1]
    assert not spoilt[-1][0].matches(spoilt[-1][1])
    broken = pairs(Fault("get", "break", at=2))
    assert [next(broken), next(broken)] == whole[:2]
    with pytest.raises(TierUnavailable):
        next(broken)
