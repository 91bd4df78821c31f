"""Names that can change: an IPNS key's word is proved, a DNSLink is a gateway's."""

import json
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.servers.rogue import RogueGateway

from ziggurat.backend import Context
from ziggurat.content import Cid
from ziggurat.content.dagcbor import encode
from ziggurat.content.varint import encode_varint
from ziggurat.errors import (
    BlobNotFound,
    CorruptBlob,
    InvalidCid,
    MalformedContent,
    TierError,
    UnsupportedContent,
    ZigguratError,
)
from ziggurat_ipfs._ipns import LIBP2P_KEY, read_record
from ziggurat_ipfs._names import parse_name
from ziggurat_ipfs.commands import ipfs
from ziggurat_ipfs.gateway import GatewayOptions, backend

RECORD = "application/vnd.ipfs.ipns-record"
TARGET = Cid.of(b"target")


def make_key(seed):
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    public = b"\x08\x01\x12\x20" + private.public_key().public_bytes_raw()
    return private, Cid.of(public, LIBP2P_KEY, hash_name="identity")


PRIVATE, NAME = make_key(1)
OTHER_PRIVATE, OTHER = make_key(2)


def text_of(cid):
    return cid.encode("base36")


def record(value=f"/ipfs/{TARGET}", private=PRIVATE, hours=1.0, ttl=60, **more):
    until = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    fields = {
        "TTL": ttl * 10**9,
        "Value": value.encode(),
        "Sequence": 3,
        "Validity": until.encode(),
        "ValidityType": 0,
    }
    data = encode({**fields, **more})
    signature = private.sign(b"ipns-signature:" + data)
    out = b""
    for number, part in ((1, value.encode()), (8, signature), (9, data)):
        out += encode_varint(number << 3 | 2) + encode_varint(len(part)) + part
    return out


def serving(**names):
    def answer(asked, reply, server):
        given = names.get(asked.path.removeprefix("/ipns/").replace(".", "_"))
        if given is None:
            reply.whole(b"", 404, "text/plain")
        elif isinstance(given, bytes):
            reply.whole(given, type=RECORD)
        else:
            reply.head(200, Content_Length=0, **given)

    return RogueGateway({}, answer)


def tier_of(*servers):
    return backend.factory(
        GatewayOptions(urls=tuple(server.url for server in servers)), Context("net", "source")
    )


def test_a_record_of_a_real_node_is_proved(own_kubo):
    node = own_kubo().start()
    cid = Cid.parse(node.run("add", "-Q", stdin=b"hello").strip())
    node.run("name", "publish", "--allow-offline", "--ttl=5m", "--lifetime=2h", f"/ipfs/{cid}")
    name = node.run("key", "list", "-l").split()[0]
    tier = backend.factory(GatewayOptions(urls=(node.gateway,)), Context("net", "source"))
    found = tier.resolve(f"/ipns/{name}")
    assert (found.cid, found.proved, found.seconds) == (cid, True, 300)
    assert found.target == f"/ipfs/{cid}"
    request = urllib.request.Request(
        f"{node.gateway}/ipns/{name}?format=ipns-record", headers={"Accept": RECORD}
    )
    with urllib.request.urlopen(request) as answer:
        data = answer.read()
    assert read_record(Cid.parse(name), data).value == f"/ipfs/{cid}"
    with pytest.raises(MalformedContent):
        read_record(NAME, data)
    tier.close()


def test_the_lifetime_ends_with_the_record():
    with serving(**{text_of(NAME): record(hours=0.001, ttl=9999)}) as server:
        tier = tier_of(server)
        assert 0 < tier.resolve(text_of(NAME)).seconds <= 10  # not the 9999 of the TTL
        tier.close()
    with serving(**{text_of(NAME): record(hours=-1)}) as server:
        tier = tier_of(server)
        with pytest.raises(TierError, match="ended"):
            tier.resolve(text_of(NAME))
        tier.close()


def test_a_lifetime_is_never_less_than_none():
    with serving(**{text_of(NAME): record(ttl=-5)}) as server:
        tier = tier_of(server)
        assert tier.resolve(text_of(NAME)).seconds == 0
        tier.close()


def test_a_name_leads_through_names_and_keeps_the_path():
    names = {
        text_of(NAME): record(f"/ipns/{text_of(OTHER)}/sub", ttl=50),
        text_of(OTHER): record(private=OTHER_PRIVATE, ttl=20),
    }
    with serving(**names) as server:
        tier = tier_of(server)
        found = tier.resolve(f"ipns://{text_of(NAME)}/a/b")
        assert found.target == f"/ipfs/{TARGET}/sub/a/b"
        assert (found.cid, found.seconds, found.proved, found.name) == (TARGET, 20, True, text_of(NAME))
        tier.close()


def test_a_circle_ends():
    with serving(**{text_of(NAME): record(f"/ipns/{text_of(NAME)}")}) as server:
        tier = tier_of(server)
        with pytest.raises(BlobNotFound):
            tier.resolve(text_of(NAME))
        assert server.count() < 20
        tier.close()


def test_a_forged_record_drops_the_gateway_and_another_answers():
    with (
        serving(**{text_of(NAME): record(private=OTHER_PRIVATE)}) as liar,
        serving(**{text_of(NAME): record()}) as good,
    ):
        tier = tier_of(liar, good)
        assert tier.resolve(text_of(NAME)).cid == TARGET
        assert tier.health()[0].dropped
        tier.close()
        tier = tier_of(liar)
        with pytest.raises(CorruptBlob):
            tier.resolve(text_of(NAME))
        tier.close()


def test_a_dnslink_is_the_word_of_a_gateway():
    headers = {"X_Ipfs_Roots": str(TARGET), "Cache_Control": "public, max-age=120"}
    with serving(docs_example_org=headers) as server:
        tier = tier_of(server)
        found = tier.resolve("Docs.Example.org/guide")
        assert found.target == f"/ipfs/{TARGET}/guide"
        assert not found.proved
        assert 110 < found.seconds <= 120
        with pytest.raises(BlobNotFound):
            tier.resolve("nobody.example.org")
        tier.close()


@pytest.mark.parametrize(
    "text", ["", "name", "/ipns/", "a b.example", "../x.y", str(TARGET), "x" * 300 + ".org"]
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises((InvalidCid, UnsupportedContent)):
        parse_name(text)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_no_changed_byte_passes(place, byte):
    good = RECORDED
    place %= len(good)
    data = good[:place] + bytes([byte]) + good[place + 1 :]
    try:
        found = read_record(NAME, data)
    except ZigguratError:
        return
    assert found.value == f"/ipfs/{TARGET}"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_record(data):
    with pytest.raises(MalformedContent):
        read_record(NAME, data)


RECORDED = record()


@pytest.mark.parametrize("more", [{"Value": 5}, {"Validity": b"soon"}, {"ValidityType": 1}, {"TTL": b"x"}])
def test_signed_nonsense_is_refused(more):
    with pytest.raises(MalformedContent):
        read_record(NAME, record(**more))


def test_the_command(tmp_path):
    with serving(**{text_of(NAME): record()}) as server:
        file = tmp_path / "ziggurat.toml"
        file.write_text(
            f'[[tier]]\nname = "web"\nbackend = "gateway"\n[tier.options]\nurls = ["{server.url}"]\n'
        )
        said = CliRunner().invoke(ipfs, ["resolve", "--json", "--config", str(file), text_of(NAME)])
        assert said.exit_code == 0, said.output
        row = json.loads(said.stdout)
        assert row["cid"] == str(TARGET)
        assert row["proved"] is True
        assert row["seconds"] == 60


def test_a_target_moves_no_cursor(tmp_path):
    with serving(**{text_of(NAME): record(f"/ipfs/{TARGET}/\x1b[2Jgone\nbafy")}) as server:
        file = tmp_path / "ziggurat.toml"
        file.write_text(
            f'[[tier]]\nname = "web"\nbackend = "gateway"\n[tier.options]\nurls = ["{server.url}"]\n'
        )
        said = CliRunner().invoke(ipfs, ["resolve", "--config", str(file), text_of(NAME)])
        assert said.exit_code == 0, said.output
        assert said.stdout.startswith(f"/ipfs/{TARGET}/\\x1b[2Jgone\\nbafy  (signed")
        assert said.stdout.count("\n") == 1
