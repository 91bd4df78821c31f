"""UCANs and their archives: what the official library recorded, and what nobody should take."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.content import DAG_CBOR, RAW, Cid, dagcbor, dagjson
from ziggurat.errors import (
    ConfigError,
    ContentMismatch,
    MalformedContent,
    UnsupportedContent,
    ZigguratError,
)
from ziggurat_storacha.client.delegation import (
    Delegation,
    archive,
    delegate,
    extract,
    from_text,
    plain_car,
    read_delegations,
    read_proof,
    to_text,
    write_blocks,
)
from ziggurat_storacha.client.did import account_of, did_bytes, did_text, email_of, parse_did
from ziggurat_storacha.client.keys import ABSENT, Key, verify
from ziggurat_storacha.client.ucan import Capability, decode_ucan, issue_ucan, verify_ucan

LATE = 4_102_444_800


def raw(text: str) -> bytes:
    return base64.b64decode(text)


def plain(value: object) -> Any:
    """A value of DAG-JSON that another JSON library read."""
    import json

    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return dagjson.decode(text.encode())


def test_official_keys_are_read_and_written_alike(official: dict[str, Any]) -> None:
    for one in official["principals"]:
        key = Key.parse(one["key"])
        assert key.did == one["did"]
        assert key.to_text() == one["key"]
        assert key.to_bytes() == raw(one["bytes"])
        assert Key.from_bytes(raw(one["bytes"])).did == one["did"]


def test_official_ucans_decode_verify_and_encode_again(official: dict[str, Any]) -> None:
    assert len(official["delegations"]) >= 18
    for one in official["delegations"]:
        block = raw(one["block"])
        ucan = decode_ucan(block)
        assert str(ucan.cid) == one["cid"], one["name"]
        assert (ucan.issuer, ucan.audience) == (one["issuer"], one["audience"])
        assert (ucan.expiration, ucan.not_before, ucan.nonce) == (
            one["expiration"],
            one["notBefore"],
            one["nonce"],
        )
        assert [str(cid) for cid in ucan.proofs] == one["proofs"]
        assert ucan.signature == raw(one["signature"])
        assert list(ucan.facts) == plain(one["facts"])
        wanted = plain(one["capabilities"])
        assert [(c.can, c.resource, c.nb) for c in ucan.capabilities] == [
            (c["can"], c["with"], c.get("nb")) for c in wanted
        ]
        if one["key"] is None:
            assert ucan.signature == ABSENT
            with pytest.raises(UnsupportedContent, match="attestation"):
                verify_ucan(ucan)
        else:
            verify_ucan(ucan, one["key"])


def test_official_archives_and_texts_come_out_byte_for_byte(official: dict[str, Any]) -> None:
    for one in official["delegations"]:
        data = raw(one["archive"])
        found = extract(data)
        assert [str(cid) for cid, _ in found.export()] == one["blocks"], one["name"]
        assert archive(found) == data
        assert to_text(found) == one["text"]
        assert from_text(one["text"]) == found
        again = read_proof(plain_car(found))
        assert archive(again) == data
        assert read_proof(data) == read_proof(one["text"].encode()) == found
        assert from_text(base64.b64encode(plain_car(found)).decode()) == found


def test_our_signatures_are_the_official_ones(official: dict[str, Any]) -> None:
    keys = {one["did"]: Key.parse(one["key"]) for one in official["principals"]}
    made = 0
    for one in official["delegations"]:
        if (key := keys.get(one["issuer"])) is None:
            continue
        ours = issue_ucan(
            key,
            one["audience"],
            [Capability(c["can"], c["with"], c.get("nb")) for c in plain(one["capabilities"])],
            expiration=one["expiration"],
            proofs=[Cid.parse(cid) for cid in one["proofs"]],
            facts=plain(one["facts"]),
            nonce=one["nonce"],
            not_before=one["notBefore"],
        )
        assert ours.block == raw(one["block"]), one["name"]
        made += 1
    assert made >= 14


def test_a_bundle_of_several_delegations_is_read(official: dict[str, Any]) -> None:
    text = official["bundle"]["text"]
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert [str(one.cid) for one in read_delegations(data)] == official["bundle"]["cids"]


def refused(block: bytes, key: str | None) -> bool:
    try:
        ucan = decode_ucan(block)
        verify_ucan(ucan, key or "")
    except ZigguratError:
        return True
    return False


def test_one_flipped_bit_is_refused(official: dict[str, Any]) -> None:
    for one in official["delegations"]:
        block = raw(one["block"])
        # All bits of the smaller ones; of the others all bytes, each by another of its bits.
        step = 1 if one["name"] in {"simple", "mailto", "from_web", "nonce"} else 9
        for bit in range(0, 8 * len(block), step):
            changed = bytearray(block)
            changed[bit // 8] ^= 1 << bit % 8
            key = one["key"] if one["issuer"].startswith("did:web:") else None
            assert refused(bytes(changed), key), f"{one['name']}: bit {bit}"


def test_one_flipped_bit_of_an_archive_is_refused(official: dict[str, Any]) -> None:
    """Every block is proved by its CID; so is the root that names the UCAN."""
    data = raw(next(one for one in official["delegations"] if one["name"] == "chain")["archive"])
    whole = extract(data)
    chance = random.Random(7)
    for bit in chance.sample(range(8 * len(data)), 3000):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = extract(bytes(changed))
        except ZigguratError:
            continue
        # A block under another codec has the same hash: then a proof is missing, and that is noticed.
        assert found == whole
        assert len(list(found.export())) < len(list(whole.export())), bit
        assert archive(found) != bytes(changed)


def test_an_archive_that_is_cut_short_is_refused(official: dict[str, Any]) -> None:
    data = raw(next(one for one in official["delegations"] if one["name"] == "proofs")["archive"])
    for size in range(len(data)):
        with pytest.raises(ZigguratError):
            extract(data[:size])


SIGNER = Key(bytes(range(32)))
OTHER = Key(bytes(range(1, 33)))

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=20)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.binary(max_size=4).map(lambda data: Cid.of(data, RAW)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda name: name != "/"),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
tables = st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda name: name != "/"), values, max_size=4)
capabilities = st.builds(
    Capability,
    st.sampled_from(["*", "space/*", "upload/list", "space/blob/add"]),
    st.sampled_from([SIGNER.did, "ucan:*", "mailto:a@b.c", "https://example.org/x"]),
    st.none() | tables,
)


@settings(max_examples=150, deadline=None)
@given(
    caps=st.lists(capabilities, min_size=1, max_size=3),
    expiration=st.none() | st.integers(1, 2**52),
    facts=st.lists(tables, max_size=2),
    nonce=st.none() | st.text(min_size=1, max_size=10),
    not_before=st.none() | st.integers(1, 2**52),
)
def test_what_is_issued_reads_back_and_verifies(
    caps: list[Capability],
    expiration: int | None,
    facts: list[dict[str, Any]],
    nonce: str | None,
    not_before: int | None,
) -> None:
    made = issue_ucan(
        SIGNER, OTHER.did, caps, expiration=expiration, facts=facts, nonce=nonce, not_before=not_before
    )
    read = decode_ucan(made.block)
    assert read == made
    assert [(c.can, c.resource, c.nb) for c in read.capabilities] == [(c.can, c.resource, c.nb) for c in caps]
    assert list(read.facts) == facts
    verify_ucan(read)
    with pytest.raises(ContentMismatch, match="not signed by"):
        verify_ucan(read, OTHER.did)
    whole = Delegation(read)
    for form in (archive(whole), plain_car(whole), to_text(whole).encode()):
        assert read_proof(form).ucan == made


def rewritten(**changes: Any) -> bytes:
    """The block of a UCAN with other fields, whatever it then is."""
    made = issue_ucan(SIGNER, OTHER.did, [Capability("a/b", SIGNER.did)], expiration=LATE)
    value = dagcbor.decode(made.block)
    assert isinstance(value, dict)
    return dagcbor.encode({name: new for name, new in {**value, **changes}.items() if new != "gone"})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"nnc": ""}, "other bytes"),
        ({"fct": []}, "other bytes"),
        ({"nbf": 0}, "no time"),
        ({"exp": -1}, "no time"),
        ({"exp": "never"}, "'exp' is a str"),
        ({"exp": True}, "'exp' is a bool"),
        ({"more": 1}, "unknown field 'more'"),
        ({"att": []}, "no capability"),
        ({"att": [{"can": "a/b", "with": "did:key:z", "x": 1}]}, "unknown field 'x'"),
        ({"att": [{"can": "A/b", "with": "did:key:z"}]}, "not an ability"),
        ({"att": [{"can": "ab", "with": "did:key:z"}]}, "not an ability"),
        ({"att": [{"can": "a/b", "with": "nowhere"}]}, "not a resource"),
        ({"att": [{"can": "a/b"}]}, "'with' is a NoneType"),
        ({"att": [{"can": "a/b", "with": "did:x:y", "nb": None}]}, "'nb' is a NoneType"),
        ({"prf": ["bafy"]}, "'prf' is a str"),
        ({"iss": b"\xed\x01short"}, "Ed25519 key has 32 bytes"),
        ({"aud": b"\x00"}, "unknown kind"),
        ({"aud": b"\x9d\x1akey:z6Mk"}, "not the bytes of a DID"),
        ({"s": b"\xed\xa1\x03\x40" + bytes(63)}, "another length"),
        ({"s": b"\xed\xa1\x03\x41" + bytes(65)}, "another length"),
        ({"s": b""}, "its signature"),
        ({"s": b"\x80\xa0\x03\x00x"}, "another length"),
        ({"s": "gone"}, "no 's'"),
        ({"v": "gone"}, "no 'v'"),
    ],
)
def test_what_is_no_ucan_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedContent, match=why):
        decode_ucan(rewritten(**changes))


@pytest.mark.parametrize("version", ["0.10.0", "1.0.0", 9, ""])
def test_another_version_is_refused_by_name(version: object) -> None:
    with pytest.raises(UnsupportedContent, match=r"speaks 0\.9\.1"):
        decode_ucan(rewritten(v=version))


def test_other_forms_of_a_ucan_are_refused_by_name() -> None:
    token = b"e30.e30.c2ln"
    with pytest.raises(UnsupportedContent, match="another form"):
        decode_ucan(token, Cid.of(token, RAW))
    later = dagcbor.encode({"ucan@1.0.0": Cid.of(b"", DAG_CBOR)})
    root = Cid.of(later, DAG_CBOR)
    with pytest.raises(UnsupportedContent, match=r"ucan@1\.0\.0"):
        extract(write_blocks([root], [(root, later)]))


def test_limits_hold() -> None:
    many = [Capability("a/b", SIGNER.did)] * 1025
    with pytest.raises(MalformedContent, match="above the limit of 1024"):
        issue_ucan(SIGNER, OTHER.did, many, expiration=None)
    with pytest.raises(MalformedContent, match="above the limit"):
        decode_ucan(bytes((2 << 20) + 1))
    with pytest.raises(MalformedContent, match="not a UCAN"):
        decode_ucan(b"\x81" * 5000 + b"\xf6")


def test_a_long_chain_is_exported_without_recursion() -> None:
    held = delegate(SIGNER, SIGNER.did, [Capability("a/b", SIGNER.did)], expiration=None)
    for number in range(1500):
        held = Delegation(
            issue_ucan(
                SIGNER,
                SIGNER.did,
                [Capability("a/b", SIGNER.did)],
                expiration=None,
                proofs=[held.cid],
                nonce=str(number),
            ),
            {**held.blocks, held.cid: held.ucan.block},
        )
    assert sum(1 for _ in held.export()) == 1501


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:",
        "did:key:",
        "did:key:zzz",
        "did:key:z",
        "did:KEY:z6Mk",
        "did:web:",
        "x:y:z",
        "did:web:a b",
        "did:key:m123",
    ],
)
def test_what_is_no_did_is_refused(text: str) -> None:
    with pytest.raises(MalformedContent):
        parse_did(text)


@given(st.emails())
def test_accounts_are_named_by_addresses(email: str) -> None:
    account = account_of(email)
    assert account.startswith("did:mailto:")
    assert email_of(account) == email
    assert did_text(did_bytes(account)) == account
    assert account_of(account) == account


def test_the_account_of_an_address_is_the_official_one() -> None:
    assert account_of("some.one+more@example.org") == "did:mailto:example.org:some.one%2Bmore"
    for bad in ("", "a", "a@", "@b", "a b@c", "a@b\n"):
        with pytest.raises(MalformedContent):
            account_of(bad)


def test_a_key_never_shows_itself() -> None:
    import pickle

    key = Key.generate()
    text = key.to_text()
    assert text[1:] not in f"{key!r} {key} {vars(type(key))}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    for bad in (text[:-4], text[1:], text.replace("M", "m", 1), text + "x", "Mg", "", f"M{text}"):
        with pytest.raises(ConfigError) as caught:
            Key.parse(bad)
        assert not bad[4:] or bad[4:] not in str(caught.value)


def test_a_space_is_24_words_too(tmp_path: Path) -> None:
    """What the official library writes for a seed of 32 ones."""
    words = "absurd amount doctor acoustic avoid letter advice cage " * 3
    words = words.removesuffix("cage ") + "comic"
    key = Key(b"\1" * 32)
    assert key.to_words() == words
    assert Key.from_words(f"  {words.upper()}\n").did == key.did
    for file in (
        words,
        words.replace(" ", "\n"),
        f"# a remark\n{words}\n",
        f"# a remark\n\n{key.to_text()}\n",
    ):
        (tmp_path / "key").write_text(file)
        assert Key.load(tmp_path / "key").did == key.did
    for bad in (
        words.replace("comic", "cage"),
        "absurd amount",
        f"{words} cage",
        words.replace("doctor", "dctor"),
    ):
        with pytest.raises(ConfigError, match="not the 24 words") as caught:
            Key.from_words(bad)
        assert "absurd" not in str(caught.value)
    for bad in ("", "# nothing", f"{key.to_text()}\n{key.to_text()}"):
        (tmp_path / "key").write_text(bad)
        with pytest.raises(ConfigError, match="exactly one key"):
            Key.load(tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot read the key file"):
        Key.load(tmp_path / "none")


def test_halves_of_two_keys_are_refused() -> None:
    data = bytearray(SIGNER.to_bytes())
    data[-1] ^= 1
    with pytest.raises(ConfigError, match="do not belong together"):
        Key.from_bytes(bytes(data))


def test_a_signature_is_of_one_key_over_one_message() -> None:
    signature = SIGNER.sign(b"message")
    assert verify(SIGNER.did, b"message", signature)
    assert not verify(OTHER.did, b"message", signature)
    assert not verify(SIGNER.did, b"messagf", signature)
    assert not verify(SIGNER.did, b"message", signature[:-1])
    with pytest.raises(UnsupportedContent, match="no key by itself"):
        verify("did:web:example.org", b"message", signature)
