"""A service that lies, signing what it says; and what others leave for us there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from plugins.storacha.tests.chains import (
    ACCOUNT,
    ALICE,
    BOB,
    EVE,
    SERVICE,
    SPACE,
    WEB,
    attest,
    by_account,
    grant,
)

from ziggurat.content import DAG_CBOR, MAX_BLOCK, RAW, Cid, dagcbor
from ziggurat.errors import ConfigError, TierDenied, TierUnavailable, ZigguratError
from ziggurat_storacha._options import StorachaOptions
from ziggurat_storacha.client.accounts import plan, subscriptions, usage
from ziggurat_storacha.client.agent import Agent
from ziggurat_storacha.client.delegation import Delegation, plain_car, write_blocks
from ziggurat_storacha.client.errors import of_failure, of_status
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.login import claim, log_in
from ziggurat_storacha.client.messages import read_message
from ziggurat_storacha.client.proofs import Proofs
from ziggurat_storacha.client.receipts import Failure
from ziggurat_storacha.client.service import Endpoints, Service
from ziggurat_storacha.client.sharing import add_proof
from ziggurat_storacha.client.spaces import list_spaces, space_info
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.client.ucan import decode_ucan

Answers = dict[str, Any]


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    """Serves what functions of method, path and body give: status, headers, bytes."""
    running: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[str, str, bytes], tuple[int, Mapping[str, str], bytes]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                status, headers, body = answer(self.command, self.path, self.rfile.read(size))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET  # noqa: N815 - http.server calls them so

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def asking(serving: Callable[..., str]) -> Iterator[Callable[..., Agent]]:
    """Makes agents of a service that answers each capability as it is told, properly signed."""
    made: list[Agent] = []

    def make(answers: Answers, proofs: tuple[Delegation, ...] = (), key: str = SERVICE.did) -> Agent:
        def answer(_method: str, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
            if path != "/":
                return 404, {}, b""
            message = read_message(body)
            blocks, report = {}, {}
            for cid in message.execute:
                can = decode_ucan(message.blocks[cid], cid).capabilities[0].can
                if can not in answers:
                    return 503, {}, b""
                ocm: Any = {
                    "ran": cid, "out": {"ok": answers[can]}, "fx": {"fork": []}, "meta": {},
                    "iss": WEB, "prf": [],
                }  # fmt: skip
                signed = {"ocm": ocm, "sig": SERVICE.sign(_cbor(ocm))}
                block = _cbor(signed)
                report[str(cid)] = Cid.of(block, DAG_CBOR)
                blocks[report[str(cid)]] = block
            root = dagcbor.encode({"ucanto/message@7.0.0": {"report": report}})
            name = Cid.of(root, DAG_CBOR)
            return 200, {}, write_blocks([name], [*blocks.items(), (name, root)])

        service = Service(Endpoints(serving(answer), WEB, key), ALICE, Proofs(), Transport())
        made.append(Agent(service, proofs=proofs))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _cbor(value: Any) -> bytes:
    """DAG-CBOR of any size: cbor2 writes a list of links as the codec does."""
    parts = value.get("ocm", value)
    if len(parts["out"]["ok"]) < 1000:
        return dagcbor.encode(value)
    # A large list is written apart, for `encode` keeps to the limit of content.
    items = parts["out"]["ok"]
    small = dagcbor.encode(_with(value, [None]))
    head = b"\x9a" + len(items).to_bytes(4, "big")
    return small.replace(b"\x62ok\x81\xf6", b"\x62ok" + head + b"".join(map(dagcbor.encode, items)))


def _with(value: Any, ok: Any) -> Any:
    if "ocm" in value:
        return {**value, "ocm": _with(value["ocm"], ok)}
    return {**value, "out": {"ok": ok}}


OWNED = grant(SPACE, ALICE.did)


def session() -> tuple[Delegation, Delegation]:
    login = by_account(ALICE.did, [grant(SPACE, ACCOUNT)])
    return login, attest(login, ALICE.did)


def waiting(*found: Delegation, more: Mapping[str, object] | None = None) -> Answers:
    cars: dict[str, object] = {str(one.cid): plain_car(one) for one in found}
    return {"access/authorize": {}, "access/claim": {"delegations": {**(more or {}), **cars}}}


OLD = b"eyJ0eXAiOiJKV1QifQ.e30.c2ln"
UNREADABLE = {
    "another form": write_blocks([Cid.of(OLD, RAW)], [(Cid.of(OLD, RAW), OLD)]),
    "no car": b"garbage",
    "no bytes": 5,
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_left_there(asking: Callable[..., Agent], what: str) -> None:
    login, good = session()
    agent = asking(waiting(login, good, more={what: UNREADABLE[what]}))
    assert log_in(agent, "ada@example.org").spaces == (SPACE.did,)
    shared = grant(EVE, ALICE.did, resource=EVE.did)
    agent = asking(waiting(shared, more={what: UNREADABLE[what]}))
    assert claim(agent) == [shared]


def test_a_forged_session_beside_the_real_one(asking: Callable[..., Agent]) -> None:
    login, good = session()
    forged = by_account(ALICE.did, resource=ACCOUNT)
    by_eve = attest(forged, ALICE.did, key=EVE, issuer=EVE.did)
    bent = attest(login, ALICE.did, key=EVE)
    agent = asking(waiting(forged, by_eve, bent, login, good))
    assert log_in(agent, "ada@example.org").spaces == (SPACE.did,)
    assert set(agent.state.delegations) == {login.cid, good.cid}
    alone = asking(waiting(forged, by_eve))
    with pytest.raises(TierDenied, match="no attestation"):
        log_in(alone, "ada@example.org")
    assert claim(alone) == []
    assert alone.state.accounts() == ()


def test_a_service_that_fails_to_the_end_is_not_a_missing_click(asking: Callable[..., Agent]) -> None:
    with pytest.raises(TierUnavailable, match="status 503"):
        log_in(asking({"access/authorize": {}}), "ada@example.org", patience=0.3)


def test_an_accounts_word_is_proved_before_it_is_taken(asking: Callable[..., Agent]) -> None:
    login, good = session()
    agent = asking({})
    for forged in (
        login,
        by_account(ALICE.did),
        by_account(BOB.did),
        by_account(ALICE.did, resource=ACCOUNT),
    ):
        with pytest.raises(ConfigError, match="of no use"):
            add_proof(agent, forged)
    for resource in ("ucan:*", ACCOUNT, WEB):
        with pytest.raises(ConfigError, match="of no use"):
            add_proof(agent, grant(EVE, BOB.did, resource=resource))
    assert not agent.state.delegations
    assert agent.state.accounts() == ()
    vouched = asking({}, proofs=(good,))
    assert add_proof(vouched, login) == []
    assert vouched.state.accounts() == (ACCOUNT,)


def test_what_only_the_service_proves_waits_for_its_key(asking: Callable[..., Agent]) -> None:
    """The key is not known before it is asked: until then an attestation proves nothing."""
    login = by_account(ALICE.did, [grant(SPACE, ACCOUNT)])
    agent = asking({}, proofs=(attest(login, ALICE.did, key=EVE),), key="")
    with pytest.raises(ConfigError, match=r"does not say the key of did:web:up.example.org"):
        add_proof(agent, login)
    assert add_proof(agent, OWNED) == [SPACE.did]


@pytest.mark.parametrize(
    "odd", [5, "x", [5], {"a": 5}, None, {"size": {"initial": "x"}}, {"limit": "\u00b2"}]
)
def test_odd_answers_are_errors_of_ours(asking: Callable[..., Agent], odd: object) -> None:
    login, good = session()
    agent = asking(
        {
            "plan/get": odd,
            "subscription/list": {"results": [{"provider": WEB, "consumers": odd}]},
            "usage/report": {WEB: odd},
            "space/info": {"providers": odd},
        },
        proofs=(login, good, OWNED),
    )
    for ask in (plan, subscriptions, usage, space_info):
        with suppress(ZigguratError):  # whatever else comes ends the test
            ask(agent)


def test_a_list_may_be_larger_than_a_block_of_content(asking: Callable[..., Agent]) -> None:
    """Content has blocks of at most 2 MiB; what a service says of 65536 shards is more."""
    shards = [Cid.of(str(number).encode(), RAW) for number in range(65536)]
    agent = asking({"upload/get": shards}, proofs=(OWNED,))
    assert 41 * len(shards) > MAX_BLOCK
    assert agent.service.call("upload/get", SPACE.did) == shards


def test_a_key_is_not_taken_from_where_a_redirect_leads(serving: Callable[..., str]) -> None:
    document = b'{"id":"did:web:up.example.org","verificationMethod":[{"publicKeyMultibase":"%s"}]}'
    thief = serving(lambda *_: (200, {}, document % EVE.did[8:].encode()))
    url = serving(lambda _m, path, _b: (302, {"Location": thief + path}, b""))
    with pytest.raises(ConfigError, match="set service_key"):
        Service(Endpoints(url, WEB), ALICE).key()
    assert Service(Endpoints(thief, WEB), ALICE).key() == EVE.did


@pytest.mark.parametrize("key", ["did:web:other.example.org", "did:key:z6Mk", "nothing"])
def test_a_key_that_is_none_is_a_matter_of_the_options(key: str) -> None:
    with pytest.raises(ConfigError, match="service_key"):
        Service(Endpoints("https://up.example.org", WEB, key), ALICE).key()


def test_the_query_of_an_address_is_not_shown(serving: Callable[..., str]) -> None:
    secret = "X-Amz-Signature=c0ffee"
    urls = [
        f"http://127.0.0.1:9/blob?{secret}",
        f"http://storacha.invalid/blob?{secret}",
        serving(lambda *_: (500, {}, b"")) + f"/blob?{secret}",
        serving(lambda *_: (200, {"Content-Length": "9"}, b"")) + f"/blob?{secret}",
        serving(lambda *_: (200, {}, bytes(100))) + f"/blob?{secret}",
    ]
    for url in urls:
        with pytest.raises(TierUnavailable) as caught:
            Transport().fetch("PUT", url, option="service_url", body=b"x", headers={"t": "token"}, limit=10)
        assert "/blob" in str(caught.value)
        assert "c0ffee" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert getattr(caught.value.__context__, "request", None) is None
    assert "c0ffee" not in str(of_status(403, b"", urls[0], "service_url"))


def test_a_service_moves_no_cursor() -> None:
    name, message = "Evil\x1b[2J\n" + 5000 * "x", "see\x1b]0;title\x07"
    said = str(of_failure(Failure(name, message), "x/y", "https://up.example.org"))
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.parametrize(
    "text", ["ftp://me:pass-word@h/", "https://me:pass-word@h/", "me:pass-word@h", "//me:pass-word@h"]
)
def test_a_password_in_an_address_is_refused_unseen(text: str) -> None:
    with pytest.raises(ValueError, match="no password") as caught:
        StorachaOptions(service_url=text)
    assert "pass-word" not in str(caught.value)


def test_a_file_that_is_no_key_is_not_carried_by_the_error(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff" + ALICE.to_bytes())
    with pytest.raises(ConfigError) as caught:
        Key.load(path)
    error: BaseException | None = caught.value
    while error is not None:
        assert not getattr(error, "object", None)
        error = error.__cause__ or error.__context__


def test_an_account_of_many_spaces_is_listed(asking: Callable[..., Agent]) -> None:
    """Each delegation is walked once, not once for each space."""
    keys = [Key(number.to_bytes(32, "big")) for number in range(300, 500)]
    login = by_account(ALICE.did, [grant(key, ACCOUNT, "upload/*", key.did) for key in keys])
    agent = asking({}, proofs=(login, OWNED))
    found = {one.did: one.abilities for one in list_spaces(agent)}
    assert found == {**{key.did: ("*",) for key in keys}, SPACE.did: ("*",)}
