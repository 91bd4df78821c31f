"""``ziggurat s3``: files and directories on any S3 service, and what tiers left behind."""

from ziggurat_s3.commands import _buckets, _clean, _files, _metadata, _uploads
from ziggurat_s3.commands._group import s3

__all__ = ["s3"]

for command in (*_files.COMMANDS, _metadata.metadata, _buckets.bucket, _uploads.uploads, _clean.clean):
    s3.add_command(command)
