"""``[tier.options]`` of an s3 tier."""

from __future__ import annotations

import re
from typing import Literal, get_args

from attrs import Attribute, field, frozen, validators

from ziggurat_s3._connection import ConnectionOptions
from ziggurat_s3._layout import Layout

__all__ = ["DAY", "MIB", "Checksum", "Encryption", "S3Options"]

MIB = 1 << 20
DAY = 86400.0

Checksum = Literal["auto", "none"]
Encryption = Literal["", "AES256", "aws:kms", "aws:kms:dsse"]


def _bucket(_: object, __: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}", value):
        raise ValueError("bucket is the name of a bucket: three characters or more, letters, digits, . and -")


def _encryption(_: object, __: Attribute[str], value: object) -> None:
    if value not in get_args(Encryption):
        raise ValueError(
            'server_side_encryption is "AES256", "aws:kms" or "aws:kms:dsse"; a key that each request carries'
            " (SSE-C) is not an option: let the service keep the key, or encrypt before the put"
        )


@frozen(kw_only=True)
class S3Options(ConnectionOptions):
    """Which bucket keeps the blobs, how its objects are named, and how they are sent.

    Attributes:
        bucket: The bucket.
        prefix: What the names of all objects of this tier begin with.
        layout: "plain" for ``PREFIX/KEY``, "spread" for ``PREFIX/aa/bb/KEY``, or a template; see `Layout`.
        create_bucket: Make the bucket at the first put if it does not exist.
        part_size: Bytes of one part of a large blob; larger for blobs of more than 9,000 of them. What is
            smaller than two parts is sent at once.
        parallel: Parts of one blob that are sent at a time.
        checksum: "auto" to have the service check what arrives where it can.
        storage_class: Of new objects, "" for the bucket's own.
        server_side_encryption: Of new objects, "" for the bucket's own.
        sse_kms_key_id: Key of the key service, with "aws:kms".
        requester_pays: We pay for what we ask of somebody else's bucket.
        abandoned_after: Seconds after which an upload that nobody goes on with is given up.
    """

    bucket: str = field(validator=_bucket, metadata={"help": "the bucket that holds the blobs"})
    prefix: str = field(
        default="",
        validator=validators.instance_of(str),
        metadata={"help": 'what the names of all objects begin with, such as "ipfs/"'},
    )
    layout: str = field(
        default="plain",
        validator=validators.instance_of(str),
        metadata={"help": '"plain", "spread" (aa/bb/KEY), or a template such as "{1}/{key}"'},
    )
    create_bucket: bool = field(
        default=False,
        validator=validators.instance_of(bool),
        metadata={"help": "make the bucket at the first put if it does not exist"},
    )
    part_size: int = field(
        default=8 * MIB,
        validator=[validators.instance_of(int), validators.ge(5 * MIB), validators.le(5 << 30)],
        metadata={"unit": "bytes", "help": "bytes of one part of a large blob; 5 MiB at least"},
    )
    parallel: int = field(
        default=4,
        validator=[validators.instance_of(int), validators.ge(1), validators.le(64)],
        metadata={"help": "parts of one blob that are sent at a time"},
    )
    checksum: Checksum = field(
        default="auto",
        validator=validators.in_(("auto", "none")),
        metadata={"help": "have the service check the parts of large blobs where it can, or none"},
    )
    storage_class: str = field(
        default="",
        validator=validators.matches_re("[A-Z_]*"),
        metadata={"help": "storage class of new objects, such as STANDARD_IA; not one that must be restored"},
    )
    server_side_encryption: Encryption = field(
        default="",
        validator=_encryption,
        metadata={"help": "encryption of new objects by the service: AES256, aws:kms or aws:kms:dsse"},
    )
    sse_kms_key_id: str = field(
        default="",
        validator=validators.instance_of(str),
        metadata={"help": "key of the key service; default: the account's"},
    )
    requester_pays: bool = field(
        default=False,
        validator=validators.instance_of(bool),
        metadata={"help": "we pay for what we ask of somebody else's bucket"},
    )
    abandoned_after: float = field(
        default=DAY,
        validator=validators.ge(0),
        metadata={
            "unit": "seconds",
            "help": "when an upload that nobody goes on with is given up",
        },
    )

    @sse_kms_key_id.validator
    def _with_kms(self, _: Attribute[str], value: str) -> None:
        if value and not self.server_side_encryption.startswith("aws:kms"):
            raise ValueError('sse_kms_key_id goes with server_side_encryption = "aws:kms"')

    @storage_class.validator
    def _at_hand(self, _: Attribute[str], value: str) -> None:
        if value in ("GLACIER", "DEEP_ARCHIVE"):
            raise ValueError("storage_class is one that can be read at once: GLACIER_IR, STANDARD_IA, …")

    def __attrs_post_init__(self) -> None:
        self.settings()
        self.names()

    def names(self) -> Layout:
        """How objects are named.

        Raises:
            ValueError: Prefix or layout cannot be used.
        """
        return Layout(self.prefix, self.layout)
