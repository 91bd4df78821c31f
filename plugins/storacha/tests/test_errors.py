"""What a service says, as errors of the contract: each name that it uses, and what it may say besides."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.servers.storacha import StorachaServer

from ziggurat.errors import (
    BlobTooLarge,
    ConfigError,
    TierDenied,
    TierError,
    TierFull,
    TierThrottled,
    TierUnavailable,
    Unsupported,
    ZigguratError,
)
from ziggurat_storacha.client import Endpoints, Key, Service
from ziggurat_storacha.client.errors import of_failure, of_status
from ziggurat_storacha.client.receipts import Failure

URL = "https://up.example.org"


@pytest.mark.parametrize(
    ("name", "kind", "retryable", "says"),
    [
        ("InsufficientStorage", TierFull, False, "free space, or change the plan"),
        ("NotEnoughStorageCapacity", TierFull, False, "free space"),
        ("Unauthorized", TierDenied, False, "log in again"),
        ("InvalidAudience", TierDenied, False, "set service_did"),
        ("AccountBlocked", TierDenied, False, "those who run the service"),
        ("HandlerNotFound", Unsupported, False, "has no x/y"),
        ("BlobSizeOutsideOfSupportedRange", BlobTooLarge, False, ""),
        ("SpaceUnknown", TierUnavailable, False, "space provision"),
        ("AccountPlanMissing", TierUnavailable, False, "choose a plan"),
        ("ServiceUnavailable", TierUnavailable, True, ""),
        ("CandidateUnavailable", TierUnavailable, True, ""),
        ("AllocatedMemoryHadNotBeenWrittenTo", TierUnavailable, True, ""),
        ("HandlerExecutionError", TierUnavailable, True, ""),
        ("RateLimited", TierThrottled, True, ""),
        ("NeverHeardOf", TierUnavailable, False, "NeverHeardOf"),
        ("", TierUnavailable, False, "an unnamed error"),
    ],
)
def test_each_name_has_its_error(name: str, kind: type[ZigguratError], retryable: bool, says: str) -> None:
    error = of_failure(Failure(name, "words"), "x/y", URL)
    assert type(error) is kind
    assert getattr(error, "retryable", False) is retryable
    assert says in str(error)
    assert URL in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Proof bafy has been revoked", "taken back"),
        ("Proof bafy has expired on 2026", "set this machine's clock"),
        ("Proof bafy is not valid before 2027", "set this machine's clock"),
        ("Capability can not be (self) issued", "log in again"),
    ],
)
def test_a_refusal_says_what_to_do(message: str, says: str) -> None:
    error = of_failure(Failure("Unauthorized", message), "x/y", URL)
    assert isinstance(error, TierDenied)
    assert says in str(error)


@given(st.text(max_size=40), st.text(max_size=800))
def test_whatever_it_says_is_one_short_line(name: str, message: str) -> None:
    error = of_failure(Failure(name, " ".join(message.split())), "x/y", URL)
    assert isinstance(error, ZigguratError)
    assert len(error.message) < 800


@given(st.integers(100, 599), st.binary(max_size=3000))
def test_every_status_is_an_error_that_names_the_option(status: int, body: bytes) -> None:
    error = of_status(status, body, URL, "service_url")
    assert isinstance(error, TierError)
    assert "\n" not in error.message
    assert len(error.message) < 600
    assert error.message.isprintable()


def answering(storacha: StorachaServer, place: str, answer: object) -> None:
    storacha.fault(
        place, how="status", status=200, times=None, body=json.dumps(answer),
        headers={"content-type": "application/json"},
    )  # fmt: skip


def test_a_did_document_says_the_key(storacha: StorachaServer) -> None:
    key = Key.generate().did
    method = {"type": "Multikey", "publicKeyMultibase": key.removeprefix("did:key:")}
    answering(storacha, "GET /.well-known", {"id": storacha.did, "verificationMethod": [method]})
    assert Service(Endpoints(storacha.url, storacha.did), Key.generate()).key() == key


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"id": "did:web:other.example", "verificationMethod": [{"publicKeyMultibase": "z6Mk"}]},
        {"verificationMethod": []},
        {"verificationMethod": [{"publicKeyMultibase": "z6Mk"}]},
        {"verificationMethod": [{"publicKeyMultibase": 5}]},
    ],
)
def test_a_document_that_says_no_key_is_passed_over(storacha: StorachaServer, document: object) -> None:
    if isinstance(document, dict) and document:
        document.setdefault("id", storacha.did)
    answering(storacha, "GET /.well-known", document)
    assert Service(Endpoints(storacha.url, storacha.did), Key.generate()).key() == storacha.key
    answering(storacha, "GET /version", document)
    with pytest.raises(ConfigError, match="set service_key"):
        Service(Endpoints(storacha.url, storacha.did), Key.generate()).key()


def test_a_service_that_stumbles_is_no_service_without_a_key(storacha: StorachaServer) -> None:
    storacha.fault("GET /.well-known", how="status", status=503, times=None)
    with pytest.raises(TierUnavailable) as caught:
        Service(Endpoints(storacha.url, storacha.did), Key.generate()).key()
    assert caught.value.retryable
