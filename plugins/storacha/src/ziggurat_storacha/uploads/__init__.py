"""Uploads of a space: sending, listing and removing them, over the blobs that they are made of."""

from ziggurat_storacha.uploads.blobs import BlobRow, Blobs, Stored
from ziggurat_storacha.uploads.index import Index, Position, decode_index, encode_index
from ziggurat_storacha.uploads.shards import SHARD_SIZE, Shard, Slice, cut, shard_cid, shard_digest
from ziggurat_storacha.uploads.upload import Removed, Uploaded, UploadRow, Uploads

__all__ = [
    "SHARD_SIZE",
    "BlobRow",
    "Blobs",
    "Index",
    "Position",
    "Removed",
    "Shard",
    "Slice",
    "Stored",
    "UploadRow",
    "Uploaded",
    "Uploads",
    "cut",
    "decode_index",
    "encode_index",
    "shard_cid",
    "shard_digest",
]
