"""What a blob is, and how its bytes are proved."""

from __future__ import annotations

from ziggurat.content.blob import Blob, Buffer, Dag
from ziggurat.content.cid import DAG_CBOR, DAG_JSON, DAG_PB, MAX_BLOCK, RAW, Cid
from ziggurat.content.key import Key, Kind, as_key

__all__ = [
    "DAG_CBOR",
    "DAG_JSON",
    "DAG_PB",
    "MAX_BLOCK",
    "RAW",
    "Blob",
    "Buffer",
    "Cid",
    "Dag",
    "Key",
    "Kind",
    "as_key",
]
