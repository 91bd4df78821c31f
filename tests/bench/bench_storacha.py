"""Uploads to a real Storacha service, against the official command line on the same service and space.

The service runs on this machine, its state in memory; what is uploaded is fresh each time. Both sides are
whole processes: the start of the client counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from attrs import frozen
from plugins.storacha.tests.spaces import make_space
from tests.bench.harness import Case, Row, limit, pairs
from tests.bench.workshop import KIB, MIB, scratch
from tests.support.servers.storacha import OfficialCli, StorachaServer

from ziggurat_storacha.client import Capability, Key, archive, delegate

_ZIGGURAT = [sys.executable, "-m", "ziggurat", "storacha"]


def cases() -> list[Case]:
    """The cases of this module."""
    return [
        Case("storacha-up", _up),
        Case("storacha-batch", _batch),
        Case("storacha-memory", _memory),
    ]


@frozen
class _Bench:
    """A space, and both command lines in it."""

    folder: Path
    environment: dict[str, str]
    official: OfficialCli

    def ours(self, *arguments: str) -> float:
        """Seconds of one run of our command."""
        start = time.perf_counter()
        subprocess.run(
            [*_ZIGGURAT, *arguments],
            env=self.environment,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start

    def theirs(self, *arguments: str) -> float:
        """Seconds of one run of the official one."""
        start = time.perf_counter()
        self.official.run(*arguments)
        return time.perf_counter() - start

    def file(self, size: int, name: str = "file") -> str:
        """A file of fresh bytes."""
        path = self.folder / name
        path.write_bytes(os.urandom(size))
        return str(path)


@contextmanager
def _bench() -> Iterator[_Bench]:
    with scratch() as folder:
        server = StorachaServer(folder / "server").start()
        try:
            space = make_space(server)
            agent = Key.generate()
            official = OfficialCli(server, folder / "official", principal=agent.to_text())
            grant = delegate(space.owner, agent.did, [Capability("*", space.did)], expiration=None)
            (folder / "grant").write_bytes(archive(grant))
            official.run("space", "add", str(folder / "grant"))
            official.run("space", "use", space.did)
            environment = {
                **os.environ,
                "HOME": str(folder),
                "STORACHA_SERVICE_URL": server.url,
                "STORACHA_SERVICE_DID": server.did,
                "STORACHA_INDEXER_URL": server.url,
                "STORACHA_PRINCIPAL": space.agent.to_text(),
                "STORACHA_PROOF": space.proof(),
                "STORACHA_SPACE": space.did,
            }
            yield _Bench(folder, environment, official)
        finally:
            server.stop()


def _up(quick: bool) -> Iterator[Row]:
    size = (8 if quick else 64) * MIB
    with _bench() as bench:
        yield pairs(
            f"storacha: upload of a file of {size // MIB} MiB",
            lambda: bench.ours("up", bench.file(size)),
            lambda: bench.theirs("up", "--no-wrap", bench.file(size)),
            2 if quick else 7,
            against="storacha up",
            target=1.25,
        )


def _batch(quick: bool) -> Iterator[Row]:
    count = 20 if quick else 200
    with _bench() as bench:

        def ours() -> float:
            files = [bench.file(4 * KIB, f"file-{number}") for number in range(count)]
            return bench.ours("up", *files) / count

        yield pairs(
            f"storacha: a file of 4 KiB in a batch of {count}",
            ours,
            lambda: bench.theirs("up", "--no-wrap", bench.file(4 * KIB)),
            2 if quick else 3,  # each batch is a minute of the service's own work
            against="one storacha up",
            target=5.0,
            warm_up=0,
        )


_BOTH_WAYS = """
import os, resource, sys
from pathlib import Path
from ziggurat import open_store
folder, mib = Path(sys.argv[1]), int(sys.argv[2])
options = {name: os.environ["STORACHA_" + name.upper()] for name in ("service_url", "service_did", "space")}
options |= {"indexer_url": options["service_url"]}
tier = {"name": "space", "backend": "storacha", "role": "store", "publish": True, "options": options}
with (folder / "big").open("wb") as file:
    for _ in range(mib):
        file.write(os.urandom(1 << 20))
with open_store({"store": {"path": str(folder / "vault")}, "tier": [tier]}) as store:
    for _ in store.stream(store.put(os.urandom(3 << 20)).cid):
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cid = store.put(folder / "big").cid
    size = sum(len(piece) for piece in store.stream(cid))
    assert size == mib << 20
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def _memory(quick: bool) -> Iterator[Row]:
    mib = 64 if quick else 1024
    with _bench() as bench:
        asked = [sys.executable, "-c", _BOTH_WAYS, str(bench.folder), str(mib)]
        done = subprocess.run(asked, env=bench.environment, check=True, capture_output=True, text=True)
        name = f"storacha tier: memory that a put and a get of {mib} MiB take"
        yield limit(name, partial(float, done.stdout), at_most=200, unit="MiB")
