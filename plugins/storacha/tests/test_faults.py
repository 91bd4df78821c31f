"""The service fails at every step of an upload: typed errors, nothing lost, nothing stored twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from plugins.storacha.tests.spaces import Space, make_space
from tests.support.rigged import patient
from tests.support.servers.storacha import StorachaServer

from ziggurat.backend import Context, Dag, Stat, Timeouts
from ziggurat.errors import (
    TierError,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
    ZigguratError,
)
from ziggurat.testing._content import DagSample, file, noise, raw
from ziggurat_storacha import Storacha

MIB = 1 << 20
SHARDS = 4  # and an index, which goes the same way

STEPS: dict[str, tuple[str, int]] = {
    "allocate a shard": ("space/blob/add", 0),
    "send a shard": ("PUT blob", 1),
    "say that it is there": ("ucan/conclude", 1),
    "hear that it is right": ("GET /receipt", 0),
    "allocate the index": ("space/blob/add", SHARDS),
    "send the index": ("PUT blob", SHARDS),
    "register the index": ("space/index/add", 0),
    "list the upload": ("upload/add", 0),
}
"""A capability or a place, and how many of them pass first."""

Open = Callable[..., Storacha]
_seeds = iter(range(100, 10_000))


@pytest.fixture(scope="module")
def module_space(storacha_session: StorachaServer) -> Space:
    return make_space(storacha_session)


@pytest.fixture
def open_tier(
    module_space: Space, storacha: StorachaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    # Where processes of one user tell each other when a service wants a pause.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made: list[Storacha] = []

    def open_one(idle: float = 30.0, **changes: Any) -> Storacha:
        context = Context("tier", "store", spool=tmp_path, timeouts=Timeouts(connect=2, idle=idle))
        made.append(Storacha(module_space.options(**{"shard_size": MIB, **changes}), context))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def large() -> DagSample:
    """A file of four shards that no other test sent: the nodes keep what they have."""
    return file(noise(5 * MIB // 2, next(_seeds)), leaf=1 << 18, fan=8)


def arrived(server: StorachaServer) -> Counter[str]:
    """How often the nodes took the bytes of each blob."""
    return Counter(one["path"] for one in server.log("PUT blob") if one["status"] == 200)


def expect_whole(tier: Storacha, sample: DagSample) -> None:
    found = tier.get(sample.root.key, None)
    assert isinstance(found, Dag)
    with found:
        assert dict(found.pairs()) == sample.blocks


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_the_service_goes_down_at_a_step(
    open_tier: Open, storacha: StorachaServer, step: str, when: Literal["before", "after"]
) -> None:
    sample = large()
    match, skip = STEPS[step]
    storacha.fault(match, when=when, skip=skip, down=True)
    tier = open_tier()
    with pytest.raises(TierUnavailable) as caught:
        tier.put(sample.root.key, sample.dag())
    assert caught.value.retryable
    assert "service_url" in str(caught.value) or "connection broke" in str(caught.value)
    with pytest.raises(TierUnavailable):
        tier.has(sample.root.key)
    with pytest.raises(TierUnavailable):
        list(tier.scan())
    storacha.heal()
    listed = (match, when) == ("upload/add", "after")
    assert tier.has(sample.root.key) == listed
    again = open_tier()
    stat = again.put(sample.root.key, sample.dag())
    assert stat.note
    # Every blob arrived once, whatever had become of the first attempt.
    times = arrived(storacha)
    assert len(times) == SHARDS + 1
    assert set(times.values()) == {1}
    expect_whole(again, sample)


@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize("match", ["space/blob/add", "GET /receipt", "space/index/add", "upload/add"])
def test_an_answer_that_was_changed_is_no_answer(
    open_tier: Open, storacha: StorachaServer, match: str, how: Literal["flip", "cut"]
) -> None:
    sample = raw(noise(2000, next(_seeds)))
    tier = open_tier()
    assert not tier.has(sample.root.key)
    storacha.fault(match, when="after", how=how)
    with pytest.raises(ZigguratError):
        tier.put(sample.root.key, sample.dag())
    storacha.heal()
    assert isinstance(tier.put(sample.root.key, sample.dag()), Stat)
    assert tier.get(sample.root.key, None) == sample.blocks[sample.root]
    assert set(arrived(storacha).values()) == {1}


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (502, True), (404, False), (403, False)])
def test_a_status_that_is_no_answer(
    open_tier: Open, storacha: StorachaServer, status: int, retryable: bool
) -> None:
    sample = raw(noise(2000, next(_seeds)))
    storacha.fault("PUT blob", how="status", status=status, body="<html>no</html>")
    tier = open_tier()
    with pytest.raises(TierError, match=f"status {status}") as caught:
        tier.put(sample.root.key, sample.dag())
    assert caught.value.retryable == retryable
    tier.put(sample.root.key, sample.dag())


def test_a_node_that_refuses_an_allocation_is_not_fatal_to_the_service(
    open_tier: Open, storacha: StorachaServer
) -> None:
    sample = raw(noise(2000, next(_seeds)))
    storacha.fault("blob/allocate", how="status", status=500, times=None)
    tier = open_tier()
    with pytest.raises(TierUnavailable, match="CandidateUnavailable") as caught:
        tier.put(sample.root.key, sample.dag())
    assert caught.value.retryable
    storacha.heal()
    tier.put(sample.root.key, sample.dag())


def test_a_service_that_hangs_is_left(open_tier: Open, storacha: StorachaServer) -> None:
    sample = raw(noise(2000, next(_seeds)))
    tier = open_tier(idle=0.3)
    assert not patient(lambda: tier.has(sample.root.key))
    with storacha.paused():
        for call in (
            lambda: tier.put(sample.root.key, sample.dag()),
            lambda: tier.has(sample.root.key),
            lambda: tier.stat(sample.root.key),
            lambda: tier.get(sample.root.key, None),
            lambda: tier.evict(sample.root.key, None),
        ):
            with pytest.raises(TierTimeout):
                call()


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    server = StorachaServer(tmp_path / "own").start()
    space = make_space(server)
    tier = space.open(tmp_path, shard_size=MIB)
    sample = large()
    killed = 0

    def pairs() -> Iterator[Any]:
        nonlocal killed
        for number, pair in enumerate(sample.blocks.items()):
            if number == 6:
                server.kill()
                killed += 1
            yield pair

    try:
        with pytest.raises(TierUnavailable) as caught:
            tier.put(sample.root.key, Dag(pairs, size=1))
        assert killed
        assert caught.value.retryable
        with pytest.raises(TierUnavailable):
            tier.has(sample.root.key)
    finally:
        tier.close()
        server.stop()


# -- 429 ---------------------------------------------------------------------------------------------


def test_a_storm_of_429_fails_nothing_that_the_budget_allows(
    open_tier: Open, storacha: StorachaServer
) -> None:
    samples = [raw(noise(300, next(_seeds))) for _ in range(4)]
    tier = open_tier()
    tier.has(samples[0].root.key)
    storacha.fault(how="throttle", rate=8, retryAfter=0.1, times=None)
    answers = tier.put_many([(one.root.key, one.dag(), None) for one in samples])
    storacha.heal()
    assert [type(one) for one in answers] == [Stat] * len(samples)
    assert sum(one["status"] == 429 for one in storacha.log()) > 0
    assert set(arrived(storacha).values()) == {1}


def test_a_wait_that_is_longer_than_the_budget_is_said(open_tier: Open, storacha: StorachaServer) -> None:
    sample = raw(noise(300, next(_seeds)))
    tier = open_tier(wait_budget=0.2)
    storacha.fault("upload/add", how="status", status=429, headers={"retry-after": "7"})
    with pytest.raises(TierThrottled, match="wait_budget") as caught:
        tier.put(sample.root.key, sample.dag())
    assert caught.value.retryable
    assert caught.value.retry_after is not None
    assert 5 < caught.value.retry_after <= 8
    # Another process of this user knows of it too.
    with pytest.raises(TierThrottled):
        open_tier(wait_budget=0.2).has(sample.root.key)


# -- kill -9 ------------------------------------------------------------------------------------------

CHILD = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from ziggurat.backend import Context
    from ziggurat.testing._content import file, noise
    from ziggurat_storacha import Storacha, StorachaOptions

    url, did, space = sys.argv[1:4]
    sample = file(noise(9 << 19, int(sys.argv[4])), leaf=1 << 18, fan=8)
    tier = Storacha(
        StorachaOptions(
            service_url=url, service_did=did, space=space, indexer_url=url, shard_size=1 << 20,
            key=os.environ["TEST_KEY"], proof=os.environ["TEST_PROOF"],
        ),
        Context("tier", "store", spool=Path(sys.argv[5])),
    )
    print("ready", flush=True)
    tier.put(sample.root.key, sample.dag())
    print("done", flush=True)
    """
)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_process_that_is_killed_is_taken_up_again(
    module_space: Space, storacha: StorachaServer, open_tier: Open, tmp_path: Path, after: int
) -> None:
    seed = next(_seeds)
    sample = file(noise(9 << 19, seed), leaf=1 << 18, fan=8)
    secrets = {"TEST_KEY": module_space.agent.to_text(), "TEST_PROOF": module_space.proof()}
    # Each PUT takes a while, so that the kill comes between them.
    storacha.fault("PUT blob", how="wait", seconds=0.15, times=None)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, storacha.url, storacha.did, module_space.did, str(seed), str(tmp_path)],
        env={**os.environ, **secrets},
        stdout=subprocess.PIPE,
    )
    try:
        end = time.monotonic() + 60
        while sum(arrived(storacha).values()) < after:
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    storacha.heal()
    tier = open_tier()
    assert not tier.has(sample.root.key)
    tier.put(sample.root.key, sample.dag())
    times = arrived(storacha)
    assert len(times) == 7
    # What was under way at the kill may have reached its node twice, nothing else.
    assert sum(times.values()) <= 7 + 2
    expect_whole(tier, sample)
