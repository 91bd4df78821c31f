"""Where a catalog may live: on a file system of this machine.

SQLite's write-ahead log needs memory shared by all its users and locks that work; over a network there is
neither (https://sqlite.org/wal.html, "All processes using a database must be on the same host computer").
"""

from __future__ import annotations

import re
from pathlib import Path

from ziggurat.errors import StoreError

__all__ = ["filesystem_of", "is_network", "refuse_network"]

_NETWORK = frozenset(
    {
        "9p",
        "acfs",
        "afp",
        "afpfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs",
        "gfs2",
        "glusterfs",
    }
    | {"gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb", "smb2", "smb3"}
    | {"smbfs", "webdav"}
)
_NETWORK_FUSE = _NETWORK | frozenset(
    {
        "curlftpfs",
        "davfs2",
        "gcsfuse",
        "goofys",
        "gvfsd-fuse",
        "juicefs",
        "mfs",
        "moosefs",
        "mount-s3",
        "rclone",
    }
    | {"s3fs", "s3ql", "seaweedfs", "smbnetfs", "sshfs", "weed"}
)


def filesystem_of(path: Path, mountinfo: str) -> str | None:
    """Find the type of the file system that holds a path.

    Args:
        path: Absolute and resolved; it need not exist.
        mountinfo: Text in the format of ``/proc/self/mountinfo``, see proc_pid_mountinfo(5).

    Returns:
        A type such as "ext4" or "fuse.sshfs", or None if no mount point holds the path.
    """
    best, found = -1, None
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")[0]
        if not separator or len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        depth = len(point.parts)
        # of two mounts on one point the later one covers the earlier one
        if depth >= best and path.is_relative_to(point):
            best, found = depth, kind
    return found


def is_network(kind: str | None) -> bool:
    """Tell whether a file system type reaches over a network.

    Args:
        kind: As `filesystem_of` returns it; None (unknown) is taken for local.

    Returns:
        True for NFS, SMB, 9p and their like.
    """
    if kind is None:
        return False
    driver, _, name = kind.partition(".")
    return name in _NETWORK_FUSE if driver == "fuse" else driver in _NETWORK


def refuse_network(folder: Path) -> None:
    """Check that a folder is on a file system of this machine.

    Args:
        folder: Where the catalog is to be; it need not exist.

    Raises:
        StoreError: It is on a network file system.
    """
    try:
        mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not Linux: nothing to ask
        return
    kind = filesystem_of(folder.resolve(), mountinfo)
    if is_network(kind):
        raise StoreError(
            f"catalog folder {folder} is on a network file system ({kind}), where its locks do not hold: "
            "set path in [store] to a folder on a local disk"
        )
