"""Why a HEAD was refused: its answer has no body in which a service could say so, a read of one byte has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ziggurat_s3._answers import answer_of

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["why_refused"]


def why_refused(s3: Callable[[], S3Client], asked: Mapping[str, Any], error: Exception) -> Exception | None:
    """Tell a missing object from a missing bucket, an unknown key, a wrong secret or a wrong clock.

    Args:
        s3: Gives the boto3 client.
        asked: What it is told of the object: ``Bucket``, ``Key``, and who pays.
        error: What the HEAD raised, through boto3 or obstore.

    Returns:
        The error that says why: `error` where that was no answer, or what the read raised; None where the
        object can be read.
    """
    answer = answer_of(error)
    if answer is None or answer.code not in ("", "NotFound") or not 300 <= answer.status < 500:
        return error
    try:
        s3().get_object(Range="bytes=0-0", **asked)["Body"].close()
    except Exception as second:  # noqa: BLE001 - it is given to who translates it
        said = answer_of(second)
        return None if said is not None and said.status == 416 else second  # 416: it is there, and empty
    return None
