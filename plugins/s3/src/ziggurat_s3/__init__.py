"""The S3 backend of Ziggurat: any S3-compatible service, and file operations on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ziggurat_s3._backend import S3, backend
from ziggurat_s3._connection import ConnectionOptions
from ziggurat_s3._options import S3Options

if TYPE_CHECKING:
    from ziggurat_s3.files import S3Files

__all__ = ["S3", "ConnectionOptions", "S3Files", "S3Options", "backend"]


def __getattr__(name: str) -> object:
    """Import the file operations at their first use: a tier does without them."""
    if name == "S3Files":
        from ziggurat_s3.files import S3Files

        return S3Files
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
