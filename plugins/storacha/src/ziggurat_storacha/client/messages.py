"""Agent messages: the CAR in which invocations go to a service, and receipts come back.

The root is ``{"ucanto/message@7.0.0": {"execute": [invocation…], "report": {"invocation": receipt}}}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from ziggurat.content import DAG_CBOR, Cid, dagcbor
from ziggurat.errors import InvalidCid, MalformedContent, ZigguratError
from ziggurat_storacha.client.delegation import Delegation, read_blocks, write_blocks
from ziggurat_storacha.client.receipts import Receipt, decode_receipt
from ziggurat_storacha.client.ucan import decode_ucan

__all__ = ["CONTENT_TYPE", "Message", "read_message", "write_message"]

CONTENT_TYPE: Final = "application/vnd.ipld.car"
_VARIANT = "ucanto/message@7.0.0"
_CONCLUDE = "ucan/conclude"


@frozen
class Message:
    """What a message holds.

    Attributes:
        execute: CIDs of the invocations that it asks for.
        report: CIDs of receipts by the CID of their invocation.
        blocks: Every block, by CID, proved.
    """

    execute: tuple[Cid, ...]
    report: Mapping[Cid, Cid]
    blocks: Mapping[Cid, bytes] = field(repr=False)

    def receipt(self, task: Cid) -> Receipt | None:
        """Give the receipt of an invocation: a reported one, or one that a ``ucan/conclude`` carries.

        Returns:
            None if the message has none; its signature is not proved.

        Raises:
            MalformedContent: It names a receipt that is not there, or is none.
        """
        named = self.report.get(task)
        if named is not None:
            found = self._read(named)
            if found.ran != task:
                raise MalformedContent(f"the receipt of {task} is that of {found.ran}", cid=named)
            return found
        for cid in self.execute:
            for capability in decode_ucan(self._block(cid), cid).capabilities:
                carried = (capability.nb or {}).get("receipt")
                if capability.can == _CONCLUDE and isinstance(carried, Cid):
                    found = self._read(carried)
                    if found.ran == task:
                        return found
        return None

    def _read(self, cid: Cid) -> Receipt:
        return decode_receipt(self._block(cid), cid, self.blocks)

    def _block(self, cid: Cid) -> bytes:
        block = self.blocks.get(cid)
        if block is None:
            raise MalformedContent(f"the message names {cid}, which did not come with it", cid=cid)
        return block


def write_message(invocations: Iterable[Delegation]) -> bytes:
    """Write a message that asks for invocations, with all their blocks."""
    listed = list(invocations)
    root = dagcbor.encode({_VARIANT: {"execute": [one.cid for one in listed]}})
    name = Cid.of(root, DAG_CBOR)
    blocks: dict[Cid, bytes] = {}
    for one in listed:
        blocks.update(one.export())
    return write_blocks([name], [*blocks.items(), (name, root)])


def read_message(data: bytes) -> Message:
    """Read a message; every block is proved, no signature is.

    Raises:
        MalformedContent: Not a message.
    """
    try:
        roots, blocks = read_blocks(data)
        if len(roots) != 1 or roots[0] not in blocks:
            raise MalformedContent("it has one root, and that root's block")
        value = dagcbor.decode(blocks[roots[0]])
        content = value.get(_VARIANT) if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(content, dict) or content.keys() - {"execute", "report"}:
            raise MalformedContent(f"its root does not say {_VARIANT}")
        execute, report = content.get("execute", []), content.get("report", {})
        if not isinstance(execute, list) or not isinstance(report, dict):
            raise MalformedContent("its root has fields of other types")
        return Message(
            tuple(_link(one) for one in execute),
            {_invocation(task): _link(receipt) for task, receipt in report.items()},
            blocks,
        )
    except ZigguratError as error:
        raise MalformedContent(f"not an agent message: {error.message}") from error


def _link(value: object) -> Cid:
    if not isinstance(value, Cid):
        raise MalformedContent("it names something that is no link")
    return value


def _invocation(text: str) -> Cid:
    try:
        return Cid.parse(text)
    except InvalidCid as error:
        raise MalformedContent(f"it reports on something that is no CID: {error.message}") from error
