from __future__ import annotations

from pathlib import Path

import pytest

from ziggurat.catalog.place import refuse_network
from ziggurat.errors import StoreError
from ziggurat.sqlite import filesystem_of, network_filesystem

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /home rw - nfs4 server:/home rw
31 30 8:2 / /home/local rw - xfs /dev/sdb1 rw
32 22 0:31 / /mnt/with\040space rw shared:3 master:1 - fuse.sshfs me@there:/ rw
33 22 0:32 / /data rw - cifs //server/data rw
34 22 8:3 / /data rw - btrfs /dev/sdc1 rw
a line that is no mount
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/vault", "ext4"),
        ("/home/me/vault", "nfs4"),
        ("/home", "nfs4"),
        ("/homeless/vault", "ext4"),
        ("/home/local/vault", "xfs"),
        ("/mnt/with space/vault", "fuse.sshfs"),
        ("/data/vault", "btrfs"),
    ],
)
def test_the_deepest_and_latest_mount_holds_a_path(path, kind):
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_no_mount_no_answer():
    assert filesystem_of(Path("/vault"), "") is None


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "fuse.ceph-fuse", "fuse.glusterfs"]
)
def test_network_file_systems(kind, tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 0:1 / / rw - {kind} server:/ rw")
    assert network_filesystem(tmp_path / "new" / "vault", table) == kind


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuse.gocryptfs", "fuseblk", "zfs"]
)
def test_local_file_systems(kind, tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 0:1 / / rw - {kind} /dev/sda1 rw")
    assert not network_filesystem(tmp_path, table)


def test_a_network_folder_is_refused_with_the_way_out(tmp_path, monkeypatch):
    refuse_network(tmp_path)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "1 0 0:1 / / rw - nfs4 server:/ rw")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*set path in \[store\]"):
        refuse_network(tmp_path)


def test_without_mountinfo_nothing_is_refused(tmp_path, monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    refuse_network(tmp_path)
