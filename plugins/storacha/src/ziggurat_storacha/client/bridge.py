"""The HTTP bridge: invocations as JSON over plain HTTPS, for those who hold a token instead of a key.

A token is two headers: a secret, whose SHA-256 is the seed of a key, and a delegation to that key. Who has
both may do what the delegation says until it ends. The bridge signs for the holder, so it must be trusted;
the receipts that it hands on are the service's, and are proved.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from ziggurat.content import DAG_CBOR, Cid, dagcbor, dagjson
from ziggurat.errors import MalformedContent, TierUnavailable, ZigguratError
from ziggurat_storacha.client.agent import Agent
from ziggurat_storacha.client.delegation import Delegation, archive, delegate
from ziggurat_storacha.client.errors import of_failure
from ziggurat_storacha.client.keys import Key
from ziggurat_storacha.client.receipts import Receipt, decode_receipt
from ziggurat_storacha.client.service import Service
from ziggurat_storacha.client.sharing import entitling
from ziggurat_storacha.client.ucan import Capability

__all__ = ["Bridge", "Token", "make_token"]


@frozen
class Token:
    """What lets a program in over the bridge: a secret, both halves of it.

    Attributes:
        secret: Value of the header ``X-Auth-Secret``.
        authorization: Value of the header ``Authorization``.
    """

    secret: str = field(repr=False)
    authorization: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Give the headers of a request."""
        return {"X-Auth-Secret": self.secret, "Authorization": self.authorization}


def _multibase(data: bytes) -> str:
    return "u" + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_token(
    agent: Agent, abilities: Sequence[str], *, space: str = "", expiration: int | None
) -> tuple[Token, Delegation]:
    """Make a token for a space.

    Args:
        agent: Who may let others in.
        abilities: What its holder may do, such as "upload/list".
        space: The space, "" for the current one.
        expiration: Unix seconds, None for never.

    Returns:
        The token, and its delegation, which `revoke` takes back.

    Raises:
        TierDenied: The agent may not do all that itself.
    """
    did = agent.space(space)
    # Text, as the official tools make it: their bridge hashes what stands in the header, decoded.
    secret = secrets.token_hex(16).encode()
    made = delegate(
        agent.service.agent,
        Key.derived(secret).did,
        [Capability(can, did) for can in abilities],
        expiration=expiration,
        proofs=entitling(agent, did, abilities),
    )
    agent.update(lambda state: state.with_delegations([made], audience={"name": "bridge", "type": "app"}))
    return Token(_multibase(secret), _multibase(archive(made))), made


class Bridge:
    """Asks a service over its bridge; the service's own address, with ``/bridge`` behind it.

    Args:
        service: Where the service is; its agent and proofs are not used.
        token: What lets us in.
    """

    def __init__(self, service: Service, token: Token) -> None:
        self._service, self._token = service, token
        self.url = service.endpoints.url.rstrip("/") + "/bridge"

    def call(self, can: str, resource: str, nb: Mapping[str, Any] | None = None) -> Any:
        """Invoke one capability, and give what its success answers.

        Raises:
            TierDenied: The token does not allow it, or is none.
            ZigguratError: It failed, or the bridge could not be asked.
        """
        (receipt,) = self.execute([Capability(can, resource, nb or {})])
        if receipt.failure is not None:
            raise of_failure(receipt.failure, can, self.url)
        return receipt.ok

    def execute(self, tasks: Sequence[Capability]) -> list[Receipt]:
        """Invoke capabilities in one request, and give their receipts in the same order, signatures proved.

        Raises:
            TierError: The bridge could not be asked, did not answer all, or a receipt is not the service's.
        """
        asked: Any = {"tasks": [[one.can, one.resource, dict(one.nb or {})] for one in tasks]}
        reply = self._service.transport.fetch(
            "POST",
            self.url,
            option="service_url",
            body=dagjson.encode(asked),
            headers={"Content-Type": "application/json", **self._token.headers()},
        )
        try:
            answers = dagjson.decode(reply.body)
            if not isinstance(answers, list) or len(answers) != len(tasks):
                raise MalformedContent("not one receipt for each task")
            receipts = [_receipt(one) for one in answers]
        except ZigguratError as error:
            raise TierUnavailable(
                f"what answers at {self.url} is not the bridge of a service ({error.message}); correct"
                " service_url"
            ) from error
        for receipt in receipts:
            self._service.prove(receipt, self._service.endpoints.did)
        return receipts


def _receipt(answer: Any) -> Receipt:
    """The receipt that the bridge split into outcome ``p`` and signature ``s``."""
    if not isinstance(answer, dict) or not {"p", "s"} <= answer.keys():
        raise MalformedContent("an answer is no receipt")
    block = dagcbor.encode({"ocm": answer["p"], "sig": answer["s"]})
    return decode_receipt(block, Cid.of(block, DAG_CBOR), {})
