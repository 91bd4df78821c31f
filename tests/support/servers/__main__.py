"""``python -m tests.support.servers [NAME]...``: build what is not built yet, before a test waits for it.

On a fresh machine that takes some twenty minutes of a processor, once; afterwards nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.support.servers.build import Program, built
from tests.support.servers.kubo import KUBO
from tests.support.servers.node import NpmProject, installed
from tests.support.servers.s3 import MINIO, RCLONE, VERSITYGW
from tests.support.servers.storacha import PROJECT
from tests.support.servers.toxiproxy import TOXIPROXY

PROGRAMS: tuple[Program | NpmProject, ...] = (RCLONE, MINIO, KUBO, VERSITYGW, TOXIPROXY, PROJECT)
"""What the tests start; the longest build first."""

_AT_ONCE = 2  # a build spreads over the processors by itself; two hide each other's downloads and linking


def main(names: Sequence[str]) -> int:
    """Build programs.

    Args:
        names: Which; none for all.

    Returns:
        0, or 1 when one cannot be had; the others are built all the same.
    """
    unknown = set(names) - {program.name for program in PROGRAMS}
    if unknown:
        print(f"error: no such server: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    wanted = [one for one in PROGRAMS if (one.name in names or not names) and not one.target.exists()]
    if not wanted:
        return 0
    listed = ", ".join(f"{one.name} {one.version}" for one in wanted)
    print(f"building servers for the tests, once, which takes minutes: {listed}", flush=True)
    failures = 0
    with ThreadPoolExecutor(_AT_ONCE) as builders:
        running = {builders.submit(_timed, one): one for one in wanted}
        for done in as_completed(running):
            name = running[done].name
            try:
                print(f"{name}: built in {done.result():.0f} s", flush=True)
            except (OSError, RuntimeError) as error:
                failures += 1
                print(f"error: {name}: {error}", file=sys.stderr, flush=True)
    return 1 if failures else 0


def _timed(program: Program | NpmProject) -> float:
    start = time.monotonic()
    if isinstance(program, NpmProject):
        installed(program)
    else:
        built(program)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
