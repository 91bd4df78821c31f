"""Headers for gateways: they go where they are meant to, only there, and into no message."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.servers.rogue import Asked, Reply, RogueGateway

from ziggurat.backend import Context
from ziggurat.content import Cid
from ziggurat.errors import TierDenied
from ziggurat_ipfs.gateway import GatewayOptions, backend
from ziggurat_ipfs.gateway._backend import Gateway

BLOCK = b"a block that is not for everybody"
CID = Cid.of(BLOCK)
SECRET = "Bearer open-sesame-7f3a"
HEADERS = {"Authorization": SECRET, "X-Tenant": "ours"}

Make = Callable[..., Gateway]


@pytest.fixture
def tier() -> Iterator[Make]:
    made: list[Gateway] = []

    def one(*urls: str, headers: Mapping[str, Mapping[str, str]], **more: object) -> Gateway:
        options = GatewayOptions(urls=urls, headers=headers, hedge=0.05, **more)  # type: ignore[arg-type] # the test's own words
        made.append(backend.factory(options, Context("net", "source")))  # type: ignore[arg-type] # it is one
        return made[-1]

    yield one
    for each in made:
        each.close()


def wanting(asked: Asked, reply: Reply, server: RogueGateway) -> None:
    """Gives its block to those who say the word, and repeats to others what they said."""
    if asked.headers.get("authorization") == SECRET:
        reply.whole(BLOCK)
    else:
        reply.whole(f"you said {dict(asked.headers)}".encode(), 401, "text/plain")


def test_the_gateway_that_wants_them_gets_them(tier: Make) -> None:
    with RogueGateway({CID: BLOCK}, wanting) as server:
        assert tier(server.url, headers={server.url: HEADERS}).get(CID.key, None) == BLOCK
        assert server.asked[-1].headers["x-tenant"] == "ours"
        assert tier(server.url, headers={f"{server.url}/": HEADERS}).has(CID.key)
        with pytest.raises(TierDenied, match="headers"):
            tier(server.url, headers={}).get(CID.key, None)


def test_nobody_else_gets_them(tier: Make) -> None:
    def elsewhere(asked: Asked, reply: Reply, server: RogueGateway) -> None:
        reply.head(302, Location=f"{others.url}{asked.path}?format=raw", Content_Length=0)

    with (
        RogueGateway({CID: BLOCK}) as others,
        RogueGateway({}, wanting) as wants,
        RogueGateway({}, elsewhere) as sends_on,
    ):
        everybody = (wants.url, others.url, sends_on.url)
        asks = tier(*everybody, headers={wants.url: HEADERS, sends_on.url: HEADERS}, routing=(others.url,))
        assert asks.get(CID.key, None) == BLOCK
        alone = tier(sends_on.url, headers={sends_on.url: HEADERS})
        with pytest.raises(TierDenied, match="redirects"):
            alone.get(CID.key, None)
        assert sends_on.asked[-1].headers["authorization"] == SECRET
        for asked in others.asked:
            assert "authorization" not in asked.headers
            assert "x-tenant" not in asked.headers


def test_a_redirect_at_home_keeps_them(tier: Make) -> None:
    def moved(asked: Asked, reply: Reply, server: RogueGateway) -> None:
        if asked.path.startswith("/ipfs/"):
            reply.head(301, Location=f"/moved{asked.path}", Content_Length=0)
        else:
            wanting(asked, reply, server)

    with RogueGateway({CID: BLOCK}, moved) as server:
        assert tier(server.url, headers={server.url: HEADERS}).get(CID.key, None) == BLOCK


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_each_header_is_sent_once(tier: Make, name: str) -> None:
    lines: list[bytes] = []

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            talk, _ = listening.accept()
            with talk, talk.makefile("rb") as said:
                lines.extend(iter(said.readline, b"\r\n"))
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.raw\r\nContent-Length: "
                talk.sendall(head + b"%d\r\n\r\n" % len(BLOCK) + BLOCK)

        server = threading.Thread(target=answer)
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert tier(url, headers={url: {name: "mine/1"}}).get(CID.key, None) == BLOCK
        server.join()
    assert [line for line in lines if line.lower().startswith(b"user-agent")] == [b"user-agent: mine/1\r\n"]


def test_no_proxy_hears_what_is_meant_for_this_machine(tier: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with RogueGateway({CID: BLOCK}) as proxy, RogueGateway({CID: BLOCK}, wanting) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert tier(server.url, headers={server.url: HEADERS}).get(CID.key, None) == BLOCK
        assert proxy.asked == []


def test_two_gateways_at_one_host_have_their_own(tier: Make) -> None:
    with RogueGateway({CID: BLOCK}, lambda asked, reply, server: reply.whole(b"", 404)) as server:
        one, two = f"{server.url}/one", f"{server.url}/two"
        tier(one, two, headers={one: {"X-Tenant": "one"}}).get(CID.key, None)
        assert {(asked.path.split("/")[1], asked.headers.get("x-tenant")) for asked in server.asked} == {
            ("one", "one"),
            ("two", None),
        }


def test_what_a_gateway_repeats_is_hidden(tier: Make, caplog: pytest.LogCaptureFixture) -> None:
    def repeats(asked: Asked, reply: Reply, server: RogueGateway) -> None:
        reply.whole(f"who is {asked.headers['authorization']}?".encode(), 403, "text/plain")

    caplog.set_level(logging.DEBUG)
    with RogueGateway({}, repeats) as server:
        asks = tier(server.url, headers={server.url: HEADERS})
        with pytest.raises(TierDenied) as caught:
            asks.get(CID.key, None)
        for text in (
            str(caught.value),
            repr(caught.value),
            repr(asks.options),
            caplog.text,
            repr(asks.health()),
        ):
            assert "sesame" not in text
        assert "who is" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "headers", "words"),
    [
        ("https://other.example", HEADERS, "neither in urls"),
        ("http://gateway.example", HEADERS, "https"),
        ("https://gateway.example", {"Host": "x"}, "Host"),
        ("https://gateway.example", {"accept": "x"}, "accept"),
        ("https://gateway.example", {"X Y": "x"}, "X Y"),
        ("https://gateway.example", {"X": "a\r\nY: b"}, "one line"),
        ("https://gateway.example", {"X": ""}, "one line"),
        ("https://gateway.example", {"X": "ä"}, "one line"),
        ("https://gateway.example", {"X-Key": "a", "x-key": "b"}, "twice"),
    ],
)
def test_what_cannot_be_sent_is_refused(url: str, headers: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        GatewayOptions(urls=("https://gateway.example", "http://gateway.example"), headers={url: headers})
    assert "sesame" not in str(caught.value)


def test_they_come_by_reference_and_are_never_shown(tmp_path: Path) -> None:
    with RogueGateway({CID: BLOCK}, wanting) as server:
        file = tmp_path / "ziggurat.toml"

        def run(*arguments: str, value: str) -> subprocess.CompletedProcess[str]:
            file.write_text(
                f"""
[[tier]]
name = "web"
backend = "gateway"
[tier.options]
urls = ["{server.url}"]
[tier.options.headers."{server.url}"]
Authorization = {value}
"""
            )
            return subprocess.run(
                [sys.executable, "-m", "ziggurat", *arguments],
                cwd=tmp_path,
                env={"GATEWAY_AUTH": SECRET, "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=60,
            )

        got = run("cat", str(CID), value='{ env = "GATEWAY_AUTH" }')
        assert (got.returncode, got.stdout) == (0, BLOCK.decode()), got.stderr
        shown = run("config", "show", "--origin", value='{ env = "GATEWAY_AUTH" }')
        assert shown.returncode == 0
        assert "sesame" not in shown.stdout + shown.stderr
        plain = run("cat", str(CID), value='"Bearer written-down"')
        assert plain.returncode == 3
        assert "secret" in plain.stderr
        assert "written-down" not in plain.stderr
