"""Chains of proofs: every way in which one may fail to grant something."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.storacha.tests.chains import (
    ACCOUNT,
    ALICE,
    AUTHORITY,
    BOB,
    EVE,
    NOW,
    SERVICE,
    SPACE,
    WANTED,
    WEB,
    attest,
    by_account,
    grant,
)

from ziggurat.content import RAW, Cid, dagcbor
from ziggurat.errors import TierDenied
from ziggurat_storacha.client.delegation import Delegation, archive, extract
from ziggurat_storacha.client.proofs import (
    Authority,
    Proofs,
    ability_covers,
    covers,
    rests_on_service,
    stated,
    validate,
)
from ziggurat_storacha.client.state import spaces_in
from ziggurat_storacha.client.ucan import Capability, Ucan, decode_ucan, issue_ucan


def refusal(held: Delegation, wanted: Capability = WANTED, **more: Any) -> str:
    with pytest.raises(TierDenied) as caught:
        validate(held, wanted, **more)
    return str(caught.value)


def test_a_direct_grant_and_a_chain() -> None:
    direct = grant(SPACE, ALICE.did)
    assert validate(direct, WANTED, audience=ALICE.did) == (direct,)
    further = grant(ALICE, BOB.did, "upload/*", proofs=[direct])
    assert validate(further, WANTED, audience=BOB.did) == (further, direct)


@pytest.mark.parametrize(
    ("held", "wanted", "yes"),
    [
        ("*", "a/b", True),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", True),
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/*", "ab/c", False),
        ("a/b", "a/*", False),
        ("a/b/*", "a/b", False),
        ("a/*", "*", False),
    ],
)
def test_abilities_cover_one_another(held: str, wanted: str, yes: bool) -> None:
    assert ability_covers(held, wanted) is yes


def test_caveats_may_only_grow() -> None:
    limited = Capability("space/blob/add", SPACE.did, {"blob": {"size": 100}})
    assert covers(limited, Capability("space/blob/add", SPACE.did, {"blob": {"size": 99, "digest": b"x"}}))
    assert not covers(limited, Capability("space/blob/add", SPACE.did, {"blob": {"size": 101}}))
    assert not covers(limited, Capability("space/blob/add", SPACE.did, {"blob": {}}))
    assert not covers(limited, Capability("space/blob/add", SPACE.did))
    assert not covers(limited, Capability("space/blob/add", SPACE.did, {"blob": {"size": True}}))
    flag = Capability("space/blob/add", SPACE.did, {"flag": True})
    assert not covers(flag, Capability("space/blob/add", SPACE.did, {"flag": 1}))


def test_each_fault_is_named() -> None:
    good = grant(SPACE, ALICE.did)
    assert "made out to" in refusal(good, audience=BOB.did)
    assert "expired" in refusal(grant(SPACE, ALICE.did, expiration=NOW - 1))
    assert "holds only after" in refusal(grant(SPACE, ALICE.did, not_before=NOW + 6000))
    assert "other abilities" in refusal(grant(SPACE, ALICE.did, "space/info"))
    assert "another resource" in refusal(grant(EVE, ALICE.did, resource=EVE.did))
    assert "has no proof" in refusal(grant(EVE, ALICE.did))
    assert "vouches" in refusal(by_account(ALICE.did))


def test_faults_below_are_faults() -> None:
    assert "made out to" in refusal(grant(BOB, EVE.did, proofs=[grant(SPACE, ALICE.did)]))
    old = grant(SPACE, ALICE.did, expiration=NOW - 1)
    assert "expired" in refusal(grant(ALICE, BOB.did, proofs=[old]))
    narrow = grant(SPACE, ALICE.did, "space/info")
    assert "other abilities" in refusal(grant(ALICE, BOB.did, proofs=[narrow]))
    whole = grant(ALICE, BOB.did, proofs=[grant(SPACE, ALICE.did)])
    assert "did not come with it" in refusal(Delegation(whole.ucan))


def test_a_forged_proof_is_refused() -> None:
    value = dagcbor.decode(grant(SPACE, ALICE.did, "space/info").ucan.block)
    assert isinstance(value, dict)
    value["att"] = [{"can": "*", "with": SPACE.did}]
    forged = Delegation(decode_ucan(dagcbor.encode(value)))
    assert "changed or forged" in refusal(forged)
    assert "changed or forged" in refusal(grant(ALICE, BOB.did, proofs=[forged]))


def test_an_account_counts_when_the_service_attests() -> None:
    recovery = grant(SPACE, ACCOUNT)
    login = by_account(ALICE.did, [recovery])
    good = attest(login, ALICE.did)
    chain = validate(login, WANTED, authority=AUTHORITY, beside=[good], audience=ALICE.did)
    assert chain == (login, recovery)
    for bad in (
        attest(login, BOB.did),
        attest(recovery, ALICE.did),
        attest(login, ALICE.did, key=EVE),
        attest(login, ALICE.did, key=EVE, issuer=EVE.did),
        attest(login, ALICE.did, resource=EVE.did),
        attest(login, ALICE.did, expiration=NOW - 1),
    ):
        assert "vouches" in refusal(login, authority=AUTHORITY, beside=[bad])
    assert "vouches" in refusal(login, beside=[good])
    assert "vouches" in refusal(
        login, authority=Authority("did:web:other.example", SERVICE.did), beside=[good]
    )


def test_an_account_alone_owns_itself() -> None:
    login = by_account(ALICE.did)
    good = attest(login, ALICE.did)
    wanted = Capability("provider/add", ACCOUNT, {})
    assert validate(login, wanted, authority=AUTHORITY, beside=[good]) == (login,)
    assert "another resource" not in refusal(login, authority=AUTHORITY, beside=[good])


def test_without_the_services_key_its_word_is_taken() -> None:
    """The service proves it itself; without the key nothing more can be done here."""
    login = by_account(ALICE.did)
    wanted = Capability("provider/add", ACCOUNT, {})
    assert validate(login, wanted, authority=Authority(WEB), beside=[attest(login, ALICE.did, key=EVE)])


def test_the_longest_lasting_chain_is_chosen() -> None:
    short, long = (grant(SPACE, ALICE.did, expiration=NOW + seconds) for seconds in (60_000, 6_000_000))
    held = Proofs([short, long])
    assert held.choose(WANTED, ALICE.did) == (long,)
    held.add(grant(SPACE, BOB.did))
    assert held.choose(WANTED, ALICE.did) == (long,)
    assert held.drop(long.cid)
    assert not held.drop(long.cid)
    assert held.choose(WANTED, ALICE.did) == (short,)
    assert len(held) == 2
    assert held.choose(Capability("a/b", ALICE.did, {}), ALICE.did) == ()
    with pytest.raises(TierDenied, match="log in"):
        Proofs().choose(WANTED, ALICE.did)


def test_attestations_travel_with_what_they_attest() -> None:
    login = by_account(ALICE.did, [grant(SPACE, ACCOUNT)])
    good, other = attest(login, ALICE.did), attest(by_account(BOB.did), BOB.did)
    held = Proofs([other, good, login])
    assert held.choose(WANTED, ALICE.did, AUTHORITY) == (login, good)


def test_a_thicket_of_proofs_ends_soon() -> None:
    """Thirty layers of two proofs each have 2**30 ways; each proof is walked once below each of its users."""
    layer = [grant(EVE, ALICE.did, nonce=n) for n in "ab"]
    for number in range(30):
        layer = [grant(ALICE, ALICE.did, proofs=layer, nonce=f"{n}{number}") for n in "ab"]
    assert "has no proof" in refusal(grant(ALICE, BOB.did, proofs=layer))


def test_a_search_without_end_is_ended() -> None:
    """Four layers of many proofs, each of which rests on all of the next."""
    layer = [grant(EVE, ALICE.did, nonce=str(number)) for number in range(80)]
    for depth in range(3):
        blocks = dict(layer[0].blocks)
        blocks.update((one.cid, one.ucan.block) for one in layer)
        cids = [one.cid for one in layer]
        layer = [
            Delegation(issue_ucan(ALICE, ALICE.did, [Capability("*", SPACE.did)], expiration=None,
                                  proofs=cids, nonce=f"{depth}-{number}"), blocks)
            for number in range(80)
        ]  # fmt: skip
    blocks = dict(layer[0].blocks)
    blocks.update((one.cid, one.ucan.block) for one in layer)
    everything, cids = [Capability("*", SPACE.did)], [one.cid for one in layer]
    held = Delegation(issue_ucan(ALICE, BOB.did, everything, expiration=None, proofs=cids), blocks)
    said = refusal(held)
    assert "more than 65536 proofs were looked at" in said
    assert len(said) < 4000
    assert not rests_on_service(held)


def test_what_came_with_one_does_not_speak_for_another() -> None:
    """A chain that lacks its end, or an attestation, does not spoil the same chain that has it."""
    owned = grant(SPACE, ALICE.did)
    middle = grant(ALICE, BOB.did, proofs=[owned])
    short = Delegation(middle.ucan)
    lower = grant(BOB, EVE.did, proofs=[short], nonce="lower")
    whole = grant(BOB, EVE.did, proofs=[middle], nonce="lower")
    last = [grant(EVE, BOB.did, proofs=[one], nonce=str(n)) for n, one in enumerate((lower, whole))]
    assert Proofs(last).choose(WANTED, BOB.did) == (last[1],)
    login = by_account(ALICE.did, [grant(SPACE, ACCOUNT)])
    good = attest(login, ALICE.did)
    bare, vouched = (grant(ALICE, BOB.did, proofs=proofs) for proofs in ([login], [login, good]))
    assert Proofs([bare, vouched]).choose(WANTED, BOB.did, AUTHORITY) == (vouched,)


def test_a_proof_in_another_form_spoils_nothing() -> None:
    """Anybody may delegate to an account, in the older JWT form too: the service hands on what it has."""
    old = b"eyJ0eXAiOiJKV1QifQ.e30.c2ln"
    name = Cid.of(old, RAW)
    ucan = issue_ucan(
        ALICE,
        BOB.did,
        [Capability("*", "ucan:*")],
        expiration=None,
        proofs=[name, (owned := grant(SPACE, ALICE.did)).cid],
    )
    held = Delegation(ucan, {name: old, owned.cid: owned.ucan.block})
    assert validate(held, WANTED) == (held, owned)
    assert [space for space, _ in spaces_in(held)] == [SPACE.did]
    assert [cid for cid, _ in held.export()] == [name, owned.cid, held.cid]
    assert extract(archive(held)).blocks.keys() == held.blocks.keys()
    assert list(held.proofs()) == [owned]


def test_what_only_the_service_proves_is_known() -> None:
    login = by_account(ALICE.did, [grant(SPACE, ACCOUNT)])
    assert rests_on_service(login)
    assert rests_on_service(grant(ALICE, BOB.did, proofs=[login]))
    assert not rests_on_service(grant(ALICE, BOB.did, proofs=[grant(SPACE, ALICE.did)]))
    assert [one.resource for one in stated(login)] == [ACCOUNT]


def test_a_chain_that_is_too_long_is_refused() -> None:
    held = grant(SPACE, ALICE.did)
    for number in range(70):
        held = grant(ALICE, ALICE.did, proofs=[held], nonce=str(number))
    assert "longer than 64" in refusal(held)


def test_expiry_is_told_in_whole_seconds() -> None:
    ucan: Ucan = grant(SPACE, ALICE.did, expiration=100, not_before=50).ucan
    assert [ucan.expired(t) for t in (99.9, 100, 101)] == [False, True, True]
    assert [ucan.too_early(t) for t in (49, 50.9, 51)] == [True, True, False]
