"""Chains of proofs: who may do what, and why.

The rules are those of the official validator. A capability holds when its resource is the issuer's own DID,
or when a proof that is valid now, made out to the issuer and properly signed, has a capability that covers
it, and holds itself. ``ucan:*`` covers whatever its issuer holds. An account signs nothing: its delegations
count when a ``ucan/attest`` of the service stands beside them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from ziggurat.content import Cid
from ziggurat.errors import TierDenied, ZigguratError
from ziggurat_storacha.client.delegation import Delegation
from ziggurat_storacha.client.did import is_account
from ziggurat_storacha.client.ucan import Capability, Ucan, decode_ucan, verify_ucan

__all__ = [
    "ATTEST",
    "EVERYTHING",
    "Authority",
    "Proofs",
    "ability_covers",
    "attestations",
    "attests",
    "covers",
    "rests_on_service",
    "stated",
    "validate",
]

ATTEST: Final = "ucan/attest"
EVERYTHING: Final = "ucan:*"
_MAX_CHAIN = 64
_MAX_STEPS = 1 << 16
"""Proofs looked at in one search: whoever delegates to us chooses how they are woven."""
_MAX_REASONS = 8
_IMPLIED: Final = {
    "space/info": ("store/list", "store/remove", "upload/add", "upload/list", "upload/remove"),
}
"""What the service also grants to whoever has one of these, named in full."""


@frozen
class Authority:
    """Who vouches for accounts: the service.

    Attributes:
        did: Its DID.
        key: The ``did:key`` that speaks for it, "" when it is not known: what it signed then counts without
            proof, and the service itself decides.
    """

    did: str
    key: str = ""


def ability_covers(held: str, wanted: str) -> bool:
    """Tell whether an ability includes another: ``*``, ``space/*``, or the same."""
    return held in ("*", wanted) or (held.endswith("/*") and wanted.startswith(held[:-1]))


def covers(held: Capability, wanted: Capability) -> bool:
    """Tell whether a capability includes another, its own validity aside.

    A caveat of `held` must stand in `wanted` unchanged; a number may be smaller.
    """
    return (
        (ability_covers(held.can, wanted.can) or held.can in _IMPLIED.get(wanted.can, ()))
        and held.resource in (wanted.resource, EVERYTHING)
        and _narrower(held.nb or {}, wanted.nb or {})
    )


def _narrower(held: Any, wanted: Any) -> bool:
    if isinstance(held, Mapping) and isinstance(wanted, Mapping):
        return all(name in wanted and _narrower(value, wanted[name]) for name, value in held.items())
    if type(held) is int and type(wanted) is int:
        return wanted <= held
    return type(held) is type(wanted) and bool(held == wanted)


def validate(
    delegation: Delegation,
    capability: Capability,
    *,
    authority: Authority | None = None,
    beside: Sequence[Delegation] = (),
    audience: str = "",
    now: float | None = None,
) -> tuple[Delegation, ...]:
    """Prove that a delegation grants a capability.

    Revocation is not seen here: only the service knows it.

    Args:
        delegation: What should grant it.
        capability: What should be granted.
        authority: Who vouches for accounts; None if nobody does.
        beside: Delegations that came with it: attestations are looked for among them.
        audience: DID of who wants to use it, "" for anybody.
        now: Unix seconds; by default the present.

    Returns:
        The chain: the delegation, then what it rests on, down to the resource's owner.

    Raises:
        TierDenied: It does not; the message says why, for each way that was tried.
    """
    walk = _Walk(authority, now)
    chain = walk.granted(delegation, capability, list(beside), audience)
    if chain is None:
        why = walk.why() or "no proof has it"
        raise TierDenied(
            f"{capability.can} on {capability.resource} is not granted by {delegation.cid}: {why}"
        )
    return tuple(chain)


def attests(delegation: Delegation, proof: Cid, service: str = "") -> bool:
    """Tell whether a delegation says of another that its issuer made it; its signature is not looked at.

    Args:
        delegation: Perhaps an attestation.
        proof: What it should attest.
        service: DID of the service in whose name, "" for any.
    """
    return any(
        one.can == ATTEST and service in ("", one.resource) and (one.nb or {}).get("proof") == proof
        for one in delegation.ucan.capabilities
    )


def stated(delegation: Delegation) -> Iterator[Capability]:
    """Give what `validate` must prove of a delegation before it is believed: its capabilities.

    ``ucan:*`` is all that its issuer has: of it, what the issuer has by itself.
    """
    for one in delegation.ucan.capabilities:
        yield evolve(one, resource=delegation.ucan.issuer) if one.resource == EVERYTHING else one


def rests_on_service(delegation: Delegation) -> bool:
    """Tell whether only the service's key proves it: somebody in its chain is no ``did:key``."""
    seen: set[Cid] = set()
    stack = [delegation]
    while stack:
        one = stack.pop()
        if not one.ucan.issuer.startswith("did:key:"):
            return True
        below = list(one.proofs(seen))
        seen.update(proof.cid for proof in below)
        stack += below
    return False


def attestations(
    delegation: Delegation, beside: Iterable[Delegation], authority: Authority
) -> list[Delegation]:
    """Give those among others that prove a delegation of an account: valid now, and signed by the service."""
    return _Walk(authority, None).attestations(delegation, beside)


class _Walk:
    """One search for a chain, and why the ways that were tried lead nowhere."""

    def __init__(
        self, authority: Authority | None, now: float | None, verified: set[tuple[Cid, str]] | None = None
    ) -> None:
        self.authority, self.now = authority, now
        self._reasons: dict[str, None] = {}
        self._verified = set() if verified is None else verified
        self._forged: dict[Cid, str] = {}
        self._tried: set[tuple[Cid, Cid | None, int]] = set()
        self._read: dict[Cid, Ucan] = {}
        self._steps = 0

    def why(self) -> str:
        """The first reasons, in one line."""
        return "; ".join(self._reasons)

    def _refuse(self, reason: str) -> None:
        if len(self._reasons) < _MAX_REASONS:
            self._reasons[reason] = None

    def granted(
        self,
        held: Delegation,
        wanted: Capability,
        beside: list[Delegation],
        audience: str,
        above: tuple[Cid, ...] = (),
    ) -> list[Delegation] | None:
        ucan = held.ucan
        # Proofs may be shared by many: each is walked once below each, with the blocks that came with it.
        tried = (held.cid, above[-1] if above else None, id(held.blocks))
        if tried in self._tried:
            return None
        self._tried.add(tried)
        found = self._fault(held, beside, audience)
        if not found and not any(covers(one, wanted) for one in ucan.capabilities):
            foreign = all(one.resource not in (wanted.resource, EVERYTHING) for one in ucan.capabilities)
            found = f"{held.cid} is about {'another resource' if foreign else 'other abilities'}"
        if not found and len(above) > _MAX_CHAIN:
            found = f"the chain is longer than {_MAX_CHAIN}"
        if found:
            self._refuse(found)
            return None
        if wanted.resource == ucan.issuer:
            return [held]
        proofs = list(self._proofs(held))
        for proof in proofs:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                self._reasons[f"more than {_MAX_STEPS} proofs were looked at"] = None
                return None
            below = self.granted(proof, wanted, proofs, ucan.issuer, (*above, held.cid))
            if below is not None:
                return [held, *below]
        if any(cid not in held.blocks for cid in ucan.proofs):
            self._refuse(f"a proof of {held.cid} did not come with it")
        elif not proofs:
            self._refuse(f"{ucan.issuer}, who issued {held.cid}, has no proof for {wanted.resource}")
        return None

    def _proofs(self, held: Delegation) -> Iterator[Delegation]:
        """The proofs that came with it; one that cannot be read is no reason to refuse the others."""
        for cid in dict.fromkeys(held.ucan.proofs):
            if cid in held.blocks:
                try:
                    if cid not in self._read:
                        self._read[cid] = decode_ucan(held.blocks[cid], cid)
                    yield Delegation(self._read[cid], held.blocks)
                except ZigguratError as error:
                    self._refuse(error.message)

    def _fault(self, held: Delegation, beside: list[Delegation], audience: str) -> str:
        ucan = held.ucan
        if audience and ucan.audience != audience:
            return f"{held.cid} is made out to {ucan.audience}, not to {audience}"
        if ucan.expired(self.now):
            return f"{held.cid} expired at {ucan.expiration} (Unix time)"
        if ucan.too_early(self.now):
            return f"{held.cid} holds only after {ucan.not_before} (Unix time)"
        return self._signature_fault(held, beside)

    def _signature_fault(self, held: Delegation, beside: list[Delegation]) -> str:
        issuer, authority = held.ucan.issuer, self.authority
        key = ""
        if not issuer.startswith("did:key:"):
            if authority is None:
                return f"nobody is known who vouches for {issuer}"
            if issuer != authority.did:
                if any(self._attests(one, held) for one in beside):
                    return ""
                return f"no attestation of {authority.did} vouches for {held.cid} of {issuer}"
            if not authority.key:
                return ""
            key = authority.key
        if (held.cid, key) in self._verified:
            return ""
        if held.cid not in self._forged:
            try:
                verify_ucan(held.ucan, key)
                self._verified.add((held.cid, key))
                return ""
            except ZigguratError as error:
                self._forged[held.cid] = error.message
        return self._forged[held.cid]

    def attestations(self, held: Delegation, beside: Iterable[Delegation]) -> list[Delegation]:
        if not is_account(held.ucan.issuer):
            return []
        return [one for one in beside if self._attests(one, held)]

    def _attests(self, attestation: Delegation, held: Delegation) -> bool:
        ucan, authority = attestation.ucan, self.authority
        return (
            authority is not None
            and ucan.issuer == authority.did
            and attests(attestation, held.cid, authority.did)
            and not self._fault(attestation, [], held.ucan.audience)
        )


class Proofs:
    """The delegations that somebody has. Safe to use from several threads.

    Args:
        delegations: What is there to begin with.
    """

    def __init__(self, delegations: Iterable[Delegation] = ()) -> None:
        self._lock = threading.Lock()
        self._verified: set[tuple[Cid, str]] = set()
        self._held: dict[Cid, Delegation] = {one.cid: one for one in delegations}

    def __iter__(self) -> Iterator[Delegation]:
        with self._lock:
            return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def add(self, *delegations: Delegation) -> None:
        """Take delegations in; one that is there already stays."""
        with self._lock:
            for one in delegations:
                self._held.setdefault(one.cid, one)

    def replace(self, delegations: Iterable[Delegation]) -> None:
        """Take these delegations instead of all that are there."""
        held = {one.cid: one for one in delegations}
        with self._lock:
            self._held = held

    def drop(self, cid: Cid) -> bool:
        """Forget a delegation; False if there is none."""
        with self._lock:
            return self._held.pop(cid, None) is not None

    def choose(
        self,
        capability: Capability,
        audience: str,
        authority: Authority | None = None,
        *,
        now: float | None = None,
    ) -> tuple[Delegation, ...]:
        """Give the delegations that entitle somebody to a capability, with the attestations that they need.

        Args:
            capability: What shall be done.
            audience: DID of who shall do it.
            authority: Who vouches for accounts.
            now: Unix seconds; by default the present.

        Returns:
            The chain that lasts longest; empty when the resource is the audience's own.

        Raises:
            TierDenied: None of them does; the message says why.
        """
        if capability.resource == audience:
            return ()
        held = list(self)
        best: tuple[float, tuple[Delegation, ...]] | None = None
        walk = _Walk(authority, now, self._verified)
        for one in held:
            chain = walk.granted(one, capability, held, audience)
            if chain is not None:
                lasts = min((each.ucan.expiration or float("inf")) for each in chain)
                if best is None or lasts > best[0]:
                    best = lasts, (one, *walk.attestations(one, held))
        if best is None:
            why = walk.why() or "there is no proof at all"
            raise TierDenied(
                f"no proof lets {audience} do {capability.can} on {capability.resource}: {why}; log in, or"
                " ask the space's owner for a delegation"
            )
        return best[1]
