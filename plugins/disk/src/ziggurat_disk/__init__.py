"""The disk backend of Ziggurat: blobs in one folder, small ones in SQLite, large ones as files."""

from ziggurat_disk._backend import Disk, backend
from ziggurat_disk._options import DiskOptions

__all__ = ["Disk", "DiskOptions", "backend"]
