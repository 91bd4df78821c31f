"""``ziggurat s3``: files and directories on any S3 service."""

from ziggurat_s3.commands import _buckets, _files, _metadata
from ziggurat_s3.commands._group import s3

__all__ = ["s3"]

for command in (*_files.COMMANDS, _metadata.metadata, _buckets.bucket):
    s3.add_command(command)
