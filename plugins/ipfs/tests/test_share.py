"""Addresses for people without this program."""

import json

import pytest
from click.testing import CliRunner

from ziggurat.content import Cid
from ziggurat_ipfs.commands.share import share
from ziggurat_ipfs.gateway._share import share_urls

CID = Cid.of(b"shared")
HASH = Cid.of(b"shared", hash_name="blake2b-256")


def urls(gateway, cid=CID, path=""):
    return {one.style: one.url for one in share_urls(gateway, cid, path)}


def test_both_styles():
    assert urls("https://gw.example/") == {
        "path": f"https://gw.example/ipfs/{CID}",
        "subdomain": f"https://{CID}.ipfs.gw.example/",
    }
    assert urls("http://localhost:8080", path="a b/ä?.txt") == {
        "path": f"http://localhost:8080/ipfs/{CID}/a%20b/%C3%A4%3F.txt",
        "subdomain": f"http://{CID}.ipfs.localhost:8080/a%20b/%C3%A4%3F.txt",
    }


def test_version_0_is_shown_as_version_1():
    old = Cid.parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
    assert old.encode("base32") in urls("https://gw.example", old)["subdomain"]


@pytest.mark.parametrize(
    "gateway", ["http://127.0.0.1:8080", "http://[::1]:8080", "https://gw.example/below"]
)
def test_no_subdomain_where_there_can_be_none(gateway):
    assert list(urls(gateway)) == ["path"]


def test_a_cid_longer_than_a_label_has_no_subdomain():
    long = Cid.of(b"shared", hash_name="sha2-512")
    assert list(urls("https://gw.example", long)) == ["path"]
    label = urls("https://gw.example", HASH)["subdomain"].split("/")[2].partition(".")[0]
    assert len(label) <= 63
    assert Cid.parse(label) == HASH


def run(*arguments):
    return CliRunner().invoke(share, [*arguments])


def test_the_command_prints_records():
    said = run("--json", "--gateway", "https://gw.example", f"/ipfs/{CID}/a/b")
    assert said.exit_code == 0
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [row["style"] for row in rows] == ["path", "subdomain"]
    assert {row["cid"] for row in rows} == {str(CID)}
    assert rows[0]["url"] == f"https://gw.example/ipfs/{CID}/a/b"


def test_the_command_takes_the_gateways_of_the_stack(tmp_path):
    file = tmp_path / "ziggurat.toml"
    file.write_text(
        '[[tier]]\nname = "web"\nbackend = "gateway"\n[tier.options]\nurls = ["https://mine.example"]\n'
    )
    said = run("--config", str(file), "--style", "path", str(CID))
    assert said.stdout == f"https://mine.example/ipfs/{CID}\n", said.output


def test_a_password_in_a_gateway_is_refused_and_not_repeated():
    said = run("--gateway", "https://user:secret@gw.example", str(CID))
    assert said.exit_code == 2
    assert "secret" not in said.output
