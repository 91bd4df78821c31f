"""Who a process is, so that what a dead one left behind can be told from what a living one is doing.

A process identity is one line of text: boot, PID namespace, PID and start time. A PID alone comes back; with
its start time it does not before the next boot, and the boot is named too. A process in another PID namespace
(another container on this machine) cannot be judged from here.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

__all__ = ["boot_id", "is_alive", "process_identity"]


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """Name this run of the operating system.

    Returns:
        Text that is another one after each boot.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # macOS says when it booted instead
        return _ask("/usr/sbin/sysctl", "-n", "kern.boottime") or "unknown-boot"


def process_identity(pid: int | None = None) -> str:
    """Name a process so that no later process has the same name.

    Args:
        pid: The process, None for this one.

    Returns:
        ``boot/namespace/pid/start``.
    """
    pid = os.getpid() if pid is None else pid
    return f"{boot_id()}/{_namespace()}/{pid}/{_started(pid)}"


def is_alive(identity: str) -> bool | None:
    """Tell whether the process of an identity still runs.

    Args:
        identity: What `process_identity` returned, in this process or in another one.

    Returns:
        True or False, or None when it cannot be judged from here.
    """
    parts = identity.split("/")
    if len(parts) != 4 or parts[0] != boot_id():
        return False
    if parts[1] != _namespace() or not parts[2].isdecimal():
        return None
    started = _started(int(parts[2]))
    return bool(started) and started == parts[3]


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """When a process started, in the system's own words; "" if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        return _ask("/bin/ps", "-o", "lstart=", "-p", str(pid)).replace("/", "-")
    # proc_pid_stat(5): the command is in brackets and may hold anything, so count from the last bracket;
    # state is field 3 (Z: dead, and only waiting for its parent), the start time in ticks field 22.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - fixed commands
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
