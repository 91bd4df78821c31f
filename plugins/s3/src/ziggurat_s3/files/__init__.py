"""Operations on files and directories of any S3 service, beside the tier and without Ziggurat's keys."""

from ziggurat_s3.files._records import (
    Action,
    BucketInfo,
    DirectoryReport,
    FileFailure,
    FileResult,
    Listed,
    ObjectChanged,
    ObjectDamaged,
    ObjectInfo,
    ObjectNotFound,
    TransferIncomplete,
    UnfinishedUpload,
)
from ziggurat_s3.files._s3files import S3Files

__all__ = [
    "Action",
    "BucketInfo",
    "DirectoryReport",
    "FileFailure",
    "FileResult",
    "Listed",
    "ObjectChanged",
    "ObjectDamaged",
    "ObjectInfo",
    "ObjectNotFound",
    "S3Files",
    "TransferIncomplete",
    "UnfinishedUpload",
]
