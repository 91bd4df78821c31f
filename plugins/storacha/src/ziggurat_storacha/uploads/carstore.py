"""The older store of CARs under their own CIDs: ``store/add`` and its kin, which services still have.

Its steps need no keys of their own, so they work over the HTTP bridge as well. It makes no index: whether
what it holds can be read at once is the service's business, so `Uploads.add_car` is the better way where it
can be gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from ziggurat.content import Cid
from ziggurat.errors import MalformedContent, TierUnavailable
from ziggurat_storacha.client.transport import Transport
from ziggurat_storacha.uploads.blobs import Call, listed
from ziggurat_storacha.uploads.shards import shard_of_car

__all__ = ["CarStore", "StoredCar"]


@frozen
class StoredCar:
    """A CAR that the store has.

    Attributes:
        shard: Its CID.
        size: Bytes.
        sent: They were sent now; False when the store had them already.
        root: Under which it is listed as an upload, None for not.
    """

    shard: Cid
    size: int
    sent: bool = False
    root: Cid | None = None


class CarStore:
    """The CARs of one space.

    Args:
        call: How to invoke: `Service.call`, or `Bridge.call` with nothing but a token.
        transport: How to send the bytes.
        space: DID of the space.
    """

    def __init__(self, call: Call, transport: Transport, space: str) -> None:
        self._call, self._transport, self._space = call, transport, space

    def add(self, data: bytes, *, root: Cid | None = None, listed: bool = True) -> StoredCar:
        """Store a CAR, and list it as an upload.

        Args:
            data: A CARv1; its blocks are proved first.
            root: Under which to list it, where it names none or several roots.
            listed: List it.

        Raises:
            MalformedContent: Not such a CAR, a wrong block, or no root to list it under.
            TierError: It is not stored.
        """
        roots, shard = shard_of_car(data)
        named = (root or (roots[0] if len(roots) == 1 else None)) if listed else None
        if listed and named is None:
            raise MalformedContent(f"the CAR names {len(roots)} roots: say under which one to list it")
        answer = self._asked("store/add", {"link": shard.cid, "size": len(data)})
        address = answer.get("url")
        if answer.get("status") != "done":
            self._transport.fetch(
                "PUT",
                str(address),
                option="service_url",
                body=data,
                headers={
                    str(name): str(value)
                    for name, value in dict(answer.get("headers") or {}).items()
                    if str(name).lower() != "content-length"
                },
                expect=(200, 201, 204),
            )
        if named is not None:
            self._asked("upload/add", {"root": named, "shards": [shard.cid]})
        return StoredCar(shard.cid, len(data), answer.get("status") != "done", named)

    def list(self) -> Iterator[StoredCar]:
        """Every CAR of the store; ends normally only when that were all.

        Raises:
            TierError: The list could not be completed.
        """
        for row in listed(self._call, "store/list", self._space, "the service"):
            yield StoredCar(row["link"], int(row["size"]))

    def remove(self, shard: Cid) -> int:
        """Remove a CAR; gives its bytes.

        Raises:
            TierError: It was not there, or may be there still.
        """
        return int(self._asked("store/remove", {"link": shard}).get("size") or 0)

    def _asked(self, can: str, nb: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = self._call(can, self._space, nb)
        if not isinstance(answer, Mapping):
            raise TierUnavailable(f"the service answered {can} in an unknown form; correct service_url")
        return answer
