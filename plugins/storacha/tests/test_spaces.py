"""Logging in, spaces, sharing, plans: with the real service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers.storacha import OfficialCli, StorachaServer

from ziggurat.errors import (
    ConfigError,
    MalformedContent,
    TierDenied,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)
from ziggurat_storacha import StorachaOptions
from ziggurat_storacha.client import (
    Capability,
    Delegation,
    Key,
    archive,
    delegate,
    from_text,
    read_proof,
    to_text,
)
from ziggurat_storacha.client.accounts import plan, subscriptions, usage
from ziggurat_storacha.client.agent import Agent, connect, options_of
from ziggurat_storacha.client.bridge import Bridge, Token, make_token
from ziggurat_storacha.client.login import Waited, claim, log_in, log_out
from ziggurat_storacha.client.sharing import add_proof, revoke, share
from ziggurat_storacha.client.spaces import (
    allocate,
    create_space,
    delete_space,
    forget_space,
    list_spaces,
    provision,
    recover_space,
    space_info,
    use_space,
)
from ziggurat_storacha.client.statefile import StateFile

ADA, BOB = "ada@example.org", "bob.b+c@example.org"


@pytest.fixture
def agent(storacha: StorachaServer, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Makes agents, each with a state file of its own name."""
    made: list[Agent] = []

    def make(name: str = "agent", **options: Any) -> Agent:
        whole = StorachaOptions(
            service_url=storacha.url, service_did=storacha.did, state=tmp_path / f"{name}.json", **options
        )
        made.append(connect(whole, create=True))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_login_waits_for_the_click(agent: Callable[..., Agent], storacha: StorachaServer) -> None:
    storacha.auto_click(False)
    one, seen = agent(), []

    def watch(waited: Waited) -> None:
        seen.append(waited)
        if len(seen) == 2:
            assert ADA in storacha.mail()
            storacha.click()

    login = log_in(one, ADA, progress=watch)
    assert login.account == "did:mailto:example.org:ada"
    assert login.email == ADA
    assert login.agent == one.did
    assert len(seen) >= 2
    assert seen[0].left > 800
    assert one.state.accounts() == (login.account,)
    again = agent()
    assert again.did == one.did
    assert again.account() == login.account


def test_a_login_ends_in_time_or_when_it_is_told(
    agent: Callable[..., Agent], storacha: StorachaServer
) -> None:
    storacha.auto_click(False)
    one = agent()
    with pytest.raises(TierTimeout, match=r"nobody clicked the link in the e-mail to ada@example.org"):
        log_in(one, ADA, patience=0.3)
    cancel = threading.Event()
    with pytest.raises(TierTimeout, match="was cancelled"):
        log_in(one, ADA, progress=lambda _: cancel.set(), cancel=cancel)
    assert one.state.accounts() == ()
    with pytest.raises(ConfigError, match="not logged in"):
        one.account()
    with pytest.raises(MalformedContent, match="not an e-mail address"):
        log_in(one, "nobody")
    storacha.click()


def test_a_click_for_another_login_is_not_ours(agent: Callable[..., Agent], storacha: StorachaServer) -> None:
    """Two logins of one agent wait at once; the wrong one is clicked first."""
    storacha.auto_click(False)
    one = agent()
    with pytest.raises(TierTimeout):
        log_in(one, BOB, patience=0.1)
    clicked: list[list[str]] = []

    def watch(_: Waited) -> None:
        if not clicked:
            clicked.append(storacha.mail())
            storacha.click()

    login = log_in(one, ADA, progress=watch)
    assert clicked[0] == [BOB, ADA]
    assert login.email == ADA
    assert one.state.accounts() == (login.account,)
    assert [d.ucan.issuer for d in claim(one) if d.ucan.issuer != login.account] == [
        "did:mailto:example.org:bob.b%2Bc"
    ]


def test_a_login_outlives_a_service_that_stumbles(
    agent: Callable[..., Agent], storacha: StorachaServer
) -> None:
    one = agent()
    one.service.key()
    storacha.fault("access/claim", how="drop", times=2)
    assert log_in(one, ADA).email == ADA


def test_a_blocked_service_is_an_error(agent: Callable[..., Agent], storacha: StorachaServer) -> None:
    one = agent()
    one.service.key()
    storacha.fault("access/authorize", how="status", status=404)
    with pytest.raises(TierUnavailable, match="set service_url"):
        log_in(one, ADA)


def test_a_space_from_its_making_to_its_end(agent: Callable[..., Agent], storacha: StorachaServer) -> None:
    one = agent()
    log_in(one, ADA)
    made = create_space(one, "docs")
    assert made.account == "did:mailto:example.org:ada"
    assert made.key.did == made.did
    info = space_info(one)
    assert (info.did, info.name, info.providers) == (made.did, "docs", (storacha.did,))
    (space,) = list_spaces(agent())
    assert (space.did, space.name, space.current) == (made.did, "docs", True)
    assert "upload/*" in space.abilities
    assert space.expires is not None
    assert abs(space.expires - time.time() - 365 * 86400) < 100
    assert provision(one, made.did) is False
    other = create_space(one, "other", provisioned=False)
    assert space_info(one, "other").providers == ()
    assert one.space() == made.did
    assert use_space(one, "other") == other.did
    assert agent().space() == other.did
    assert provision(one) is True
    assert [s.name for s in list_spaces(one)] == ["docs", "other"]
    paid = {space for s in subscriptions(one) if s.provider == storacha.did for space in s.spaces}
    assert {made.did, other.did} <= paid
    assert plan(one).product == "did:web:starter.storacha.network"
    (report,) = usage(one, made.did)
    assert (report.space, report.initial, report.final) == (made.did, 0, 0)
    with pytest.raises(Unsupported, match="plan/get and usage/report"):
        allocate(one, 1000)
    with pytest.raises(Unsupported, match="cannot delete"):
        delete_space(one, "docs")
    assert forget_space(one, "docs") == made.did
    assert [s.name for s in list_spaces(agent())] == ["other"]
    with pytest.raises(ConfigError, match="no space is named 'docs'"):
        use_space(one, "docs")


def test_a_space_is_recovered_by_the_account_and_by_its_key(agent: Callable[..., Agent]) -> None:
    first, second, third = agent("first"), agent("second"), agent("third")
    log_in(first, "eve@example.org")
    login = log_in(second, "eve@example.org")
    assert login.spaces == ()
    made = create_space(first, "shared")
    assert [d.ucan.issuer for d in claim(second)] == [login.account]
    (space,) = list_spaces(second)
    assert (space.did, space.name, space.abilities, space.expires) == (made.did, "shared", ("*",), None)
    assert second.service.call("upload/list", made.did)["results"] == []
    recovered = recover_space(third, Key.parse(made.key.to_text()), "mine")
    assert (recovered.did, recovered.name) == (made.did, "mine")
    assert third.service.call("upload/list", made.did)["results"] == []
    assert claim(second) == []  # nothing new
    create_space(first, "more")
    assert len(claim(second)) == 1  # the account's word anew; the old one is gone
    assert len([d for d in second.state.received() if d.ucan.issuer == login.account]) == 1
    assert log_out(second) == (login.account,)
    assert second.state.accounts() == ()
    with pytest.raises(TierDenied, match="log in"):
        second.service.call("upload/list", made.did)


def test_sharing_and_taking_back(agent: Callable[..., Agent]) -> None:
    owner, friend = agent("owner"), agent("friend")
    log_in(owner, ADA)
    made = create_space(owner, "shared")
    handed = to_text(share(owner, friend.did, abilities=["upload/*"], expiration=int(time.time()) + 600))
    assert add_proof(friend, from_text(handed)) == [made.did]
    assert friend.space() == made.did
    assert list_spaces(friend)[0].name == "shared"
    assert friend.service.call("upload/list", made.did)["results"] == []
    with pytest.raises(TierDenied, match="no proof lets"):
        friend.service.call("space/blob/list", made.did)
    with pytest.raises(TierDenied, match="no proof lets"):
        share(friend, owner.did, abilities=["space/*"])
    (issued,) = owner.state.issued()
    revoke(owner, issued.cid)
    with pytest.raises(TierDenied, match="taken back"):
        friend.service.call("upload/list", made.did)
    with pytest.raises(ConfigError, match="not at hand"):
        revoke(owner, issued.cid)


def test_sharing_through_the_service(agent: Callable[..., Agent]) -> None:
    owner, friend = agent("owner"), agent("friend")
    log_in(owner, ADA)
    made = create_space(owner, "shared")
    share(owner, friend.did, abilities=["upload/list"], keep=True)
    (got,) = claim(friend)
    assert got.ucan.audience == friend.did
    assert friend.service.call("upload/list", made.did)["results"] == []
    share(owner, "carol@example.org")
    carol = agent("carol")
    log_in(carol, "carol@example.org")
    assert [s.name for s in list_spaces(carol)] == ["shared"]
    assert carol.service.call("upload/list", made.did)["results"] == []


@pytest.mark.parametrize("fault", ["audience", "expired", "forged", "foreign"])
def test_a_proof_that_is_of_no_use_is_not_taken(agent: Callable[..., Agent], fault: str) -> None:
    one, space, other = agent(), Key.generate(), Key.generate()
    everything = [Capability("*", space.did)]
    proof = {
        "audience": delegate(space, other.did, everything, expiration=None),
        "expired": delegate(space, one.did, everything, expiration=1000),
        "forged": Delegation(delegate(other, one.did, everything, issuer=space.did, expiration=None).ucan),
        "foreign": delegate(other, one.did, everything, expiration=None),
    }[fault]
    with pytest.raises(ConfigError, match="of no use"):
        add_proof(one, proof)
    assert list_spaces(one) == []


def test_headless_with_key_and_proof(agent: Callable[..., Agent], storacha: StorachaServer) -> None:
    owner, key = agent("owner"), Key.generate()
    log_in(owner, ADA)
    made = create_space(owner, "ci")
    environment = {
        "STORACHA_SERVICE_URL": storacha.url,
        "STORACHA_SERVICE_DID": storacha.did,
        "STORACHA_PRINCIPAL": key.to_text(),
        "STORACHA_PROOF": to_text(share(owner, key.did)),
    }
    options = options_of(environment=environment)
    robot = connect(options)
    assert robot.file is None
    assert robot.space() == made.did
    assert robot.service.call("upload/list", robot.space())["results"] == []
    robot.close()
    assert key.to_text() not in f"{options} {robot!r} {vars(robot)}"
    assert environment["STORACHA_PROOF"] not in f"{options}"
    with pytest.raises(ConfigError, match="made out to"):
        connect(options_of(environment={**environment, "STORACHA_PRINCIPAL": Key.generate().to_text()}))
    with pytest.raises(ConfigError, match="option proof is unusable"):
        connect(options_of(environment={**environment, "STORACHA_PROOF": "mAYIE"}))
    with pytest.raises(ConfigError, match="not a private key"):
        connect(options_of(environment={**environment, "STORACHA_PRINCIPAL": "Mg"}))


def test_without_a_key_nothing_is_made(storacha: StorachaServer, tmp_path: Path) -> None:
    options = StorachaOptions(service_url=storacha.url, service_did=storacha.did, state=tmp_path / "a.json")
    with pytest.raises(ConfigError, match="log in with 'ziggurat storacha login'"):
        connect(options)
    assert list(tmp_path.iterdir()) == []


def test_a_key_and_a_state_of_somebody_else(agent: Callable[..., Agent]) -> None:
    agent("one")
    with pytest.raises(ConfigError, match="set one of them"):
        agent("one", key=Key.generate().to_text())


def test_the_official_state_is_ours(
    official_user: tuple[OfficialCli, str], storacha: StorachaServer, tmp_path: Path
) -> None:
    """Our file is theirs: the official command line works with what we made, and we with what it made."""
    cli, theirs = official_user
    path = tmp_path / "cli/config/w3access/ziggurat.json"
    options = StorachaOptions(service_url=storacha.url, service_did=storacha.did, state=path)
    one = connect(options)
    assert one.did == cli.run("whoami").strip()
    assert one.space() == theirs
    assert one.state.accounts() == ("did:mailto:example.org:official",)
    assert one.service.call("upload/list", theirs)["results"] == []
    ours = create_space(one, "ours")
    use_space(one, "ours")
    listed = cli.run("space", "ls")
    assert f"* {ours.did} ours" in listed
    assert theirs in listed
    assert storacha.did in cli.run("space", "info")
    one.close()


def test_delegations_work_both_ways(
    agent: Callable[..., Agent], storacha: StorachaServer, official_user: tuple[OfficialCli, str]
) -> None:
    (cli, theirs), one = official_user, agent()
    text = cli.run("delegation", "create", one.did, "--can", "upload/list", "--base64").strip()
    assert add_proof(one, from_text(text)) == [theirs]
    assert one.service.call("upload/list", theirs)["results"] == []
    assert space_info(one, theirs).providers == (storacha.did,)  # whoever may list uploads may ask that
    cli.run("delegation", "create", one.did, "--can", "space/*", "--output", "proof.car")
    assert add_proof(one, read_proof((cli.folder / "proof.car").read_bytes())) == [theirs]
    assert space_info(one, theirs).providers == (storacha.did,)
    log_in(one, ADA)
    ours = create_space(one, "ours")
    whom = cli.run("whoami").strip()
    (cli.folder / "ours.car").write_bytes(archive(share(one, whom, space=ours.did)))
    assert ours.did in cli.run("space", "add", "ours.car")
    cli.run("space", "use", ours.did)
    cli.run("ls")
    further = cli.run("delegation", "create", one.did, "--can", "upload/list", "--base64").strip()
    chain = from_text(further)
    assert [proof.ucan.issuer for proof in chain.proofs()] == [one.did]


def test_the_bridge(agent: Callable[..., Agent], storacha: StorachaServer) -> None:
    one = agent()
    log_in(one, ADA)
    made = create_space(one, "bridged")
    token, delegation = make_token(one, ["upload/list"], expiration=int(time.time()) + 60)
    assert token.secret not in repr(token)
    assert token.authorization not in repr(token)
    bridge = Bridge(one.service, token)
    assert bridge.call("upload/list", made.did)["results"] == []
    with pytest.raises(TierDenied, match="space/blob/list with Unauthorized"):
        bridge.call("space/blob/list", made.did)
    other, _ = make_token(one, ["upload/list"], expiration=None)
    with pytest.raises(TierDenied):
        Bridge(one.service, Token(other.secret, token.authorization)).call("upload/list", made.did)
    storacha.fault("POST /bridge", when="after", how="flip")
    with pytest.raises((TierUnavailable, TierDenied)):
        bridge.call("upload/list", made.did)
    revoke(one, delegation.cid)
    with pytest.raises(TierDenied, match="taken back"):
        bridge.call("upload/list", made.did, {"size": 7})  # it remembers the answer to the same question


def test_secrets_stay_out_of_logs(
    agent: Callable[..., Agent], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        one = agent()
        log_in(one, ADA)
        made = create_space(one, "quiet")
        token, _ = make_token(one, ["upload/list"], expiration=None)
        Bridge(one.service, token).call("upload/list", made.did)
    said = caplog.text + "".join(capfd.readouterr())
    for secret in (one.service.agent.to_text(), made.key.to_text(), token.secret, token.authorization):
        assert secret not in said
    assert made.key.to_text() not in repr(made)
    assert one.service.agent.to_text() not in f"{one.state}"


def test_states_of_two_agents_are_not_mixed(agent: Callable[..., Agent], tmp_path: Path) -> None:
    one = agent("one")
    agent("two")
    (tmp_path / "two.json").replace(tmp_path / "one.json")
    with pytest.raises(ConfigError, match="belongs to"):
        create_space(one, "x", provisioned=False)
    assert StateFile(tmp_path / "one.json").load() is not None


def test_the_older_official_tool_too(
    agent: Callable[..., Agent], storacha: StorachaServer, tmp_path: Path
) -> None:
    cli, one = OfficialCli(storacha, tmp_path / "w3", "w3"), agent()
    theirs = cli.create_space("theirs", "older@example.org")
    assert add_proof(one, from_text(cli.run("delegation", "create", one.did, "--base64").strip())) == [theirs]
    assert one.service.call("upload/list", theirs)["results"] == []
    (state,) = (tmp_path / "w3").rglob("ziggurat.json")
    both = connect(StorachaOptions(service_url=storacha.url, service_did=storacha.did, state=state))
    assert (both.space(), both.did) == (theirs, cli.run("whoami").strip())
    ours = create_space(both, "ours")
    assert ours.did in cli.run("space", "ls")
    both.close()
