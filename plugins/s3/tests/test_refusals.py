"""What services refuse, from a stack to its user: the error names tier, operation and key, and no secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.s3 import Minio
from tests.support.servers.s3_refusals import REFUSALS, body_of
from tests.support.servers.wire import Scripted, error_body

from ziggurat import Store, open_store
from ziggurat.backend import Blob, ByteRange
from ziggurat.content import Cid
from ziggurat.errors import (
    ConfigError,
    CorruptBlob,
    StoreFull,
    StoreUnavailable,
    TierDenied,
    TierError,
    TierThrottled,
    TierUnavailable,
)
from ziggurat.tiers import StoreTier

DATA = b"held"
KEY = Cid.of(DATA).key
PART = 5 << 20
SECRET = "hush-hush-not-to-be-seen"
HEADS = ("has", "stat", "evict")

Open = Callable[..., Store]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a store with one tier, which asks once and never rests."""
    opened: list[Store] = []
    monkeypatch.setenv("VAULT_SECRET", SECRET)

    def one(url: str, **options: Any) -> Store:
        given = {"bucket": "bucket", "endpoint_url": url, "access_key_id": "somebody", "part_size": PART}
        given |= {"secret_access_key": {"env": "VAULT_SECRET"}, **options}
        tier = {"name": "vault", "backend": "s3", "role": "store", "options": given}
        tier |= {"retry": {"attempts": 1}, "breaker": {"failures": 0}}
        opened.append(open_store({"store": {"path": str(tmp_path / "catalog")}, "tier": [tier]}))
        return opened[-1]

    yield one
    for store in opened:
        store.close()


def calls(store: Store) -> dict[str, tuple[str, Callable[[], object]]]:
    """Every call of a tier, with the operation that its error names."""
    (tier,) = store.tiers
    assert isinstance(tier, StoreTier)

    def whole() -> bytes:
        found = tier.get(KEY)
        return found.read() if isinstance(found, Blob) else bytes(str(found), "ascii")

    return {
        "get": ("get", whole),
        "range": ("get", lambda: tier.get(KEY, ByteRange(0, 5))),
        "has": ("has", lambda: tier.has_key(KEY)),
        "stat": ("stat", lambda: tier.stat_key(KEY)),
        "evict": ("evict", lambda: tier.evict_key(Cid.of(DATA).key, None)),
        "identify": ("identify", lambda: tier.ask_medium(claim=False)),
        "put": ("put", lambda: tier.put(KEY, b"x")),
        "put large": ("put", lambda: tier.put(KEY, bytes(2 * PART))),
    }


def told(op: str, call: Callable[[], object]) -> TierError:
    """The error of a call, which says what it is about and no secret."""
    with pytest.raises(TierError) as caught:
        call()
    error = caught.value
    assert (error.tier, error.op) == ("vault", op)
    assert error.key == ("" if op == "identify" else KEY)
    assert str(error).startswith(f"tier 'vault': {op}: ")
    assert "\n" not in str(error)
    assert SECRET not in f"{error!r} {error} {error.__cause__} {error.__context__}"
    return error


@pytest.fixture(scope="module")
def refusing() -> Iterator[tuple[str, dict[str, Any]]]:
    """A service that answers whatever stands under "given"."""
    answer: dict[str, Any] = {}
    with Scripted(lambda *_: answer["given"]) as server:
        yield server.url, answer


@pytest.mark.parametrize(("status", "code", "kind", "said", "retryable"), REFUSALS)
def test_what_a_service_refuses(
    stack: Open,
    refusing: tuple[str, dict[str, Any]],
    status: int,
    code: str,
    kind: type[TierError],
    said: str,
    retryable: bool,
) -> None:
    url, answer = refusing
    answer["given"] = (status, body_of(code), {"Retry-After": "7"})
    for name, (op, call) in calls(stack(url)).items():
        error = told(op, call)
        if status >= 500 and name in HEADS:  # the answer to a HEAD has no body that says more
            assert error.retryable or status in (501, 507)
            continue
        assert type(error) is kind
        assert re.search(said, str(error))
        assert error.retryable is retryable
        if kind is TierThrottled and name == "identify":  # obstore, which moves bytes, shows no headers
            assert error.retry_after == 7


def test_an_answer_that_is_too_short(stack: Open) -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\nETag: "x"\r\n'
    date = b"Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n"
    with Scripted(lambda *_: head + date + bytes(2 << 20)) as server:
        error = told("get", calls(stack(server.url))["get"][1])
    assert type(error) is TierUnavailable
    assert error.retryable


@pytest.mark.parametrize(
    ("endpoint", "kind", "said", "retryable"),
    [
        ("http://no-such-host.invalid", TierUnavailable, "its name is not known: correct endpoint_url", True),
        ("http://127.0.0.1:1", TierUnavailable, "no connection: start the service", True),
        ("https", TierDenied, "no trusted connection.*scheme of endpoint_url.*verify", False),
    ],
)
def test_a_service_that_cannot_be_reached(
    stack: Open, minio: Minio, endpoint: str, kind: type[TierError], said: str, retryable: bool
) -> None:
    url = minio.endpoint.replace("http:", "https:") if endpoint == "https" else endpoint
    for op, call in calls(stack(url)).values():
        error = told(op, call)
        assert (type(error), error.retryable) == (kind, retryable)
        assert re.search(said, str(error))


def test_somebody_elses_bucket_is_asked_at_our_cost(stack: Open) -> None:
    """A service denies whoever does not say that they pay: then every request about an object says it."""
    with Scripted(lambda *_: (403, error_body("AccessDenied"))) as server:
        store = stack(server.url, requester_pays=True)
        for op, call in calls(store).values():
            assert isinstance(told(op, call), TierDenied)
        with pytest.raises(TierDenied):
            store.tiers[0].plugin.clean(0)  # type: ignore[attr-defined] # the backend's own
        assert {each.get("x-amz-request-payer") for each in server.headers} == {"requester"}


def test_keys_that_may_read_only(stack: Open, minio: Minio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary keys with a policy: what it does not allow is denied, and is not taken for absent."""
    bucket = minio.make_bucket()
    minio.client.put_object(Bucket=bucket, Key=KEY, Body=DATA)
    keys = minio.temporary_keys(["s3:GetObject"], bucket)
    monkeypatch.setenv("VAULT_SECRET", keys.pop("secret_access_key"))
    monkeypatch.setenv("VAULT_TOKEN", keys.pop("session_token"))
    store = stack(minio.endpoint, bucket=bucket, session_token={"env": "VAULT_TOKEN"}, **keys)
    asked = calls(store)
    assert store.get(Cid.of(DATA)) == DATA
    assert asked["has"][1]() is True
    for name in ("evict", "put", "put large"):
        op, call = asked[name]
        error = told(op, call)
        assert type(error) is TierDenied
        assert "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket" in str(error)
    assert minio.keys(bucket) == [KEY]


def test_a_missing_object_that_a_service_calls_forbidden_is_not_absent(stack: Open) -> None:
    """As AWS answers who may not list."""
    with Scripted(lambda *_: (403, error_body("AccessDenied"))) as server:
        store = stack(server.url)
        for name in ("get", "has", "stat", "evict"):
            op, call = calls(store)[name]
            assert "without which it cannot tell what it lacks" in str(told(op, call))
        with pytest.raises(StoreUnavailable) as caught:
            store.get(Cid.of(DATA))
        (failure,) = caught.value.failures
        assert isinstance(failure, TierDenied)
        assert failure.tier == "vault"
        assert SECRET not in f"{caught.value!r} {caught.value}"


def test_a_full_service_fills_no_store(stack: Open) -> None:
    def answer(method: str, path: str, _: bytes) -> tuple[int, bytes]:
        if method == "PUT":
            return 507, error_body("XMinioStorageFull", "Storage backend has reached its limit")
        return 404, error_body("NoSuchKey")

    with Scripted(answer) as server:
        store = stack(server.url)
        with pytest.raises(StoreFull, match=r"vault.*free space there, or raise its quota"):
            store.put(DATA)
        assert list(store.roots()) == []


def test_bytes_that_fail_their_proof_are_named(
    stack: Open, minio: Minio, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = minio.make_bucket()
    monkeypatch.setenv("VAULT_SECRET", minio.secret_key)
    store = stack(minio.endpoint, bucket=bucket, access_key_id=minio.access_key)
    store.put(DATA)
    minio.client.put_object(Bucket=bucket, Key=KEY, Body=b"hold")
    with pytest.raises(StoreUnavailable) as caught:
        store.get(Cid.of(DATA))
    (failure,) = caught.value.failures
    assert isinstance(failure, CorruptBlob)
    assert (failure.tier, failure.key) == ("vault", KEY)


def test_what_object_lock_keeps_is_kept(stack: Open, minio: Minio, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = "locked-from-a-stack"
    minio.client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    monkeypatch.setenv("VAULT_SECRET", minio.secret_key)
    store = stack(minio.endpoint, bucket=bucket, access_key_id=minio.access_key)
    store.put(DATA)
    minio.client.put_object_legal_hold(Bucket=bucket, Key=KEY, LegalHold={"Status": "ON"})
    op, evict = calls(store)["evict"]
    error = told(op, evict)
    assert type(error) is TierDenied
    assert "a legal hold; lift it, or wait" in str(error)
    assert not error.retryable
    assert store.get(Cid.of(DATA)) == DATA
    minio.client.put_object_legal_hold(Bucket=bucket, Key=KEY, LegalHold={"Status": "OFF"})
    assert minio.keys(bucket)[-1] == KEY


@pytest.mark.parametrize("name", ["sse_customer_key", "SSECustomerKey"])
def test_a_key_of_the_customer_is_no_option_and_is_not_shown(stack: Open, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stack("http://127.0.0.1:1", **{name: SECRET})
    (problem,) = caught.value.problems
    assert name in problem
    assert SECRET not in f"{caught.value!r} {caught.value} {problem}"
