"""Invocations and receipts with the real upload service, and with what answers in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.servers.storacha import StorachaServer

from ziggurat.backend import Timeouts
from ziggurat.content import Cid
from ziggurat.errors import (
    ConfigError,
    TierDenied,
    TierThrottled,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)
from ziggurat_storacha.client import (
    Capability,
    Delegation,
    Endpoints,
    Key,
    Pace,
    Proofs,
    Service,
    Transport,
    delegate,
)

TASK = Cid.parse("bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")


@pytest.fixture
def service(storacha: StorachaServer) -> Iterator[Service]:
    """The service, as an agent that has nothing yet."""
    made = Service(Endpoints(storacha.url, storacha.did), Key.generate())
    yield made
    made.close()


def owned(service: Service) -> Key:
    """A space whose owner lets the agent do everything; the service does not know it."""
    space = Key.generate()
    service.proofs.add(delegate(space, service.agent.did, [Capability("*", space.did)], expiration=None))
    return space


def test_a_space_that_nobody_pays_for_is_unknown(service: Service) -> None:
    space = owned(service)
    assert service.call("upload/list", space.did)["results"] == []
    with pytest.raises(TierUnavailable, match=r"space/info with SpaceUnknown.*provision") as caught:
        service.call("space/info", space.did)
    assert not caught.value.retryable
    assert "pickle" not in str(caught.value)


def test_what_it_does_not_have_is_unsupported(service: Service) -> None:
    space = owned(service)
    with pytest.raises(Unsupported, match=r"has no space/allocate; it offers plan/get and usage/report"):
        service.call("space/allocate", space.did, {"size": 1})
    with pytest.raises(Unsupported, match=r"has no no/such"):
        service.call("no/such", space.did)


def test_several_invocations_travel_in_one_request(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    service.key()
    storacha.forget()
    calls = [service.invocation("upload/list", space.did) for _ in range(3)]
    calls.append(service.invocation("no/such", space.did))
    receipts = service.execute(calls)
    assert [receipt.ran for receipt in receipts] == [call.cid for call in calls]
    assert [receipt.failure is None for receipt in receipts] == [True, True, True, False]
    assert len(storacha.log()) == 1


def test_every_call_is_a_new_one(service: Service) -> None:
    space = owned(service)
    first, second = (service.invocation("upload/list", space.did) for _ in "ab")
    assert first.cid != second.cid


@pytest.mark.parametrize("what", ["expired", "early", "audience", "foreign", "missing", "ability"])
def test_the_service_refuses_what_is_not_entitled(service: Service, what: str) -> None:
    """Sent as it is, past our own check: the service has the same opinion."""
    now = int(time.time())
    space, other, agent = Key.generate(), Key.generate(), service.agent.did
    everything = [Capability("*", space.did)]
    proof = {
        "expired": lambda: delegate(space, agent, everything, expiration=now - 5),
        "early": lambda: delegate(space, agent, everything, expiration=None, not_before=now + 600),
        "audience": lambda: delegate(space, other.did, everything, expiration=None),
        "foreign": lambda: delegate(other, agent, [Capability("*", other.did)], expiration=None),
        "missing": lambda: Delegation(
            delegate(
                other,
                agent,
                everything,
                expiration=None,
                proofs=[delegate(space, other.did, everything, expiration=None)],
            ).ucan
        ),
        "ability": lambda: delegate(space, agent, [Capability("space/*", space.did)], expiration=None),
    }[what]()
    with pytest.raises(TierDenied, match="upload/list with Unauthorized"):
        service.call("upload/list", space.did, proofs=[proof])
    with pytest.raises(TierDenied, match="no proof lets"):
        Proofs([proof]).choose(Capability("upload/list", space.did, {}), agent)


def test_an_expired_invocation_is_refused(service: Service) -> None:
    space = owned(service)
    made = service.invocation("upload/list", space.did, lifetime=-10)
    with pytest.raises(TierDenied, match=r"Unauthorized.*set this machine's clock"):
        service.ok(service.execute([made])[0], "upload/list")


def test_another_service_is_not_ours(service: Service, storacha: StorachaServer) -> None:
    wrong = Service(
        Endpoints(storacha.url, "did:web:other.example", storacha.key), service.agent, service.proofs
    )
    with pytest.raises((TierDenied, TierUnavailable), match="service_did"):
        wrong.call("upload/list", owned(wrong).did)
    unsure = Service(Endpoints(storacha.url, "did:web:other.example"), service.agent)
    with pytest.raises(ConfigError, match="set service_key"):
        unsure.key()
    forged = Service(Endpoints(storacha.url, storacha.did, Key.generate().did), service.agent, service.proofs)
    with pytest.raises(TierUnavailable, match="service_key is not the service's"):
        forged.call("upload/list", owned(forged).did)


def test_the_services_key_is_asked_once(service: Service, storacha: StorachaServer) -> None:
    assert service.key() == storacha.key
    storacha.forget()
    assert service.key() == storacha.key
    assert storacha.log() == []
    pinned = Service(Endpoints(storacha.url, storacha.did, storacha.key), service.agent)
    assert pinned.key() == storacha.key
    assert storacha.log() == []
    own = Service(Endpoints(storacha.url, storacha.key), service.agent)
    assert own.key() == storacha.key


def test_a_changed_answer_is_noticed(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    service.key()
    for _ in range(5):
        storacha.fault("upload/list", when="after", how="flip")
        with pytest.raises(TierUnavailable):
            service.call("upload/list", space.did)
    assert service.call("upload/list", space.did)["results"] == []


@pytest.mark.parametrize("how", ["drop", "cut"])
def test_a_lost_answer_may_be_asked_again(service: Service, storacha: StorachaServer, how: Any) -> None:
    space = owned(service)
    service.key()
    storacha.fault("upload/list", when="after", how=how)
    with pytest.raises(TierUnavailable) as caught:
        service.call("upload/list", space.did)
    assert caught.value.retryable
    assert service.call("upload/list", space.did)["results"] == []


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (500, TierUnavailable, True),
        (503, TierUnavailable, True),
        (504, TierTimeout, True),
        (404, TierUnavailable, False),
        (410, TierUnavailable, False),
        (302, TierUnavailable, False),
        (403, TierDenied, False),
    ],
)
def test_a_status_is_no_answer(
    service: Service, storacha: StorachaServer, status: int, kind: type[TierUnavailable], retryable: bool
) -> None:
    service.key()
    storacha.fault("upload/list", how="status", status=status, body="<html>sorry</html>")
    with pytest.raises(kind, match=r"service_url|try again") as caught:
        service.call("upload/list", owned(service).did)
    assert caught.value.retryable is retryable


def test_another_program_at_the_address(service: Service, storacha: StorachaServer) -> None:
    service.key()
    storacha.fault("upload/list", how="status", status=200, body="<html>welcome</html>")
    with pytest.raises(TierUnavailable, match=r"does not speak the service's protocol.*correct service_url"):
        service.call("upload/list", owned(service).did)


def test_a_dead_service_names_the_option(storacha: StorachaServer) -> None:
    with pytest.raises(TierUnavailable, match=r"no connection; .*set service_url to one that runs") as caught:
        Service(Endpoints("http://127.0.0.1:9", storacha.did), Key.generate()).key()
    assert caught.value.retryable
    gone = Service(Endpoints("http://storacha.invalid", storacha.did, storacha.key), Key.generate())
    with pytest.raises(TierUnavailable, match=r"no such host.*set service_url"):
        gone.call("upload/list", gone.agent.did)
    polled = Endpoints(storacha.url, storacha.did, storacha.key, "http://127.0.0.1:9/receipt/")
    with pytest.raises(TierUnavailable, match=r"set receipts_url to one that runs"):
        Service(polled, Key.generate()).poll(TASK)
    with pytest.raises(ConfigError, match="set service_url"):
        Service(Endpoints("", storacha.did), Key.generate()).call("upload/list", "did:key:z6Mk")


def test_a_key_that_anybody_may_name_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    unsure = Service(Endpoints("http://storacha.invalid", "did:web:storacha.invalid"), Key.generate())
    with pytest.raises(TierUnavailable):
        unsure.key()
    assert "set service_key" in caplog.text


def test_a_silent_service_times_out(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    impatient = Service(
        Endpoints(storacha.url, storacha.did, storacha.key),
        service.agent,
        service.proofs,
        Transport(Timeouts(idle=0.3)),
    )
    with storacha.paused(), pytest.raises(TierTimeout, match="no answer in time") as caught:
        impatient.call("upload/list", space.did)
    assert caught.value.retryable


def test_a_receipt_is_polled_until_it_is_there(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    made = service.invocation("upload/list", space.did)
    late = threading.Timer(0.4, lambda: service.execute([made]))
    late.start()
    receipt = service.poll(made.cid, patience=20)
    late.join()
    assert receipt.ok["results"] == []
    assert len(storacha.log("GET /receipt")) > 1


def test_a_poll_has_an_end(service: Service) -> None:
    with pytest.raises(TierTimeout, match="has no receipt yet: none within"):
        service.poll(TASK, patience=0.2)
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(TierTimeout, match="the wait was ended"):
        service.poll(TASK, patience=60, cancel=cancel)


def paced(service: Service, budget: float) -> Service:
    """The same agent, with a budget for waiting."""
    pace = Pace(service.endpoints.url, None, budget)
    return Service(service.endpoints, service.agent, service.proofs, Transport(pace=pace))


def test_a_throttled_call_waits_as_it_was_told(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    patient = paced(service, 30)
    patient.key()
    storacha.fault("upload/list", how="status", status=429, times=2, headers={"retry-after": "0.2"})
    before = time.monotonic()
    assert patient.call("upload/list", space.did)["results"] == []
    assert time.monotonic() - before >= 0.4


def test_a_budget_is_kept(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    poor = paced(service, 0.5)
    poor.key()
    storacha.fault("upload/list", how="status", status=429, times=None, headers={"retry-after": "3000"})
    with pytest.raises(TierThrottled, match="raise wait_budget") as caught:
        poor.call("upload/list", space.did)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 3000
    storacha.heal()
    storacha.forget()
    with pytest.raises(TierThrottled):  # it was told to wait, and asks nobody meanwhile
        poor.call("upload/list", space.did)
    assert storacha.log() == []


def test_without_a_date_the_waits_grow(service: Service, storacha: StorachaServer) -> None:
    space = owned(service)
    patient = paced(service, 30)
    patient.key()
    storacha.fault("upload/list", how="status", status=429, times=1)
    before = time.monotonic()
    assert patient.call("upload/list", space.did)["results"] == []
    assert time.monotonic() - before >= 0.5
