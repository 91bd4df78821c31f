"""The S3 backend of Ziggurat: any S3-compatible service."""

from ziggurat_s3._backend import S3, backend
from ziggurat_s3._options import S3Options

__all__ = ["S3", "S3Options", "backend"]
