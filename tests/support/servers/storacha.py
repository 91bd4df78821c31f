"""The real Storacha upload service from npm, on loopback, and the official command lines.

Its state is in memory and its keys are new at each start: what a `kill` takes is gone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.support.servers.node import NpmProject, installed, node

__all__ = ["PROJECT", "OfficialCli", "StorachaServer", "record_vectors"]

PROJECT = NpmProject(Path(__file__).with_name("storacha-service"))
"""``package.json``, its lock file, and the scripts."""

_READY = 60.0  # seconds until it must have started
_CALL = 30.0


def _workshop(folder: Path) -> Path:
    """A folder in which the project's scripts find their packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for script in PROJECT.folder.glob("*.mjs"):
        shutil.copy(script, folder)
    packages = folder / "node_modules"
    if not packages.exists():
        packages.symlink_to(installed(PROJECT))
    return folder


def _run_script(folder: Path, script: str, *arguments: str) -> str:
    """What a script of the project prints; it runs in a folder of its own."""
    program, _ = node()
    done = subprocess.run(
        [program, script, *arguments], cwd=_workshop(folder), capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-2000:]}")
    return done.stdout


class StorachaServer:
    """The service; `start` starts it.

    Args:
        folder: Where its scripts are laid; made if need be.

    Attributes:
        url: Of the service, "" while it does not run. Receipts are at ``/receipt/``, claims at ``/claims``,
            the gateway at ``/ipfs/``, the bridge at ``/bridge``.
        did: Of the service, a did:web.
        key: Its did:key.
        nodes: URLs of the storage nodes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = self.did = self.key = ""
        self.nodes: tuple[str, ...] = ()
        self._control = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def receipts(self) -> str:
        """Where receipts are polled."""
        return f"{self.url}/receipt/"

    def start(self, port: int = 0) -> StorachaServer:
        """Start it and wait until it serves.

        Args:
            port: Of the service, 0 for a free one.
        """
        program, _ = node()
        folder = _workshop(self.folder)
        with (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve.mjs"],
                cwd=folder,
                env={**os.environ, "PORT": str(port)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        # A start that hangs is killed, which ends its output.
        watch = threading.Timer(_READY, self._process.kill)
        watch.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watch.cancel()
        if not line:
            self.kill()
            said = (folder / "server.log").read_text()[-2000:]
            raise RuntimeError(f"the Storacha service did not start:\n{said}")
        told = json.loads(line)
        self.url, self.did, self.key = told["url"], told["did"], told["key"]
        self._control, self.nodes = told["control"], tuple(told["nodes"])
        return self

    # -- what tests order -----------------------------------------------------------------------

    def fault(
        self,
        match: str = "",
        *,
        when: Literal["before", "after"] = "before",
        how: Literal["drop", "status", "wait", "flip", "cut", "throttle"] = "drop",
        times: int | None = 1,
        skip: int = 0,
        **more: Any,
    ) -> None:
        """Order a fault; it goes with `heal`, and what waits goes on.

        Args:
            match: A capability such as "space/blob/add"; or a method and a place: "PUT blob" and "GET blob"
                for the storage nodes, "GET /receipt", "GET /claims", "GET /ipfs", "POST /bridge"; or "" for
                all.
            when: Before the service acts, or after, so that only its answer is lost or changed.
            how: Break the connection; answer `status` with `headers` and `body`; let it wait `seconds` first;
                change one bit of the answer; break the connection in the middle of the answer; or answer 429
                to what is more than `rate` a second, with a Retry-After of `retryAfter` seconds.
            times: How often; None until `heal`.
            skip: How many matching requests pass first.
            more: What `how` names, and ``down=True``: from then on the service and the nodes break every
                connection.
        """
        self._order(
            "POST",
            "/faults",
            {"match": match, "when": when, "how": how, "times": times, "skip": skip, **more},
        )

    def heal(self) -> None:
        """Take all faults back."""
        self._order("DELETE", "/faults")

    def auto_click(self, yes: bool) -> None:
        """Let the link of each e-mail be clicked at once, or only by `click`; at once is the default."""
        self._order("POST", "/auto", yes)

    def mail(self) -> list[str]:
        """Addresses that have an e-mail with an unclicked link."""
        return list(self._order("GET", "/mail"))

    def click(self) -> None:
        """Click all links that wait."""
        self._order("POST", "/click")

    def log(self, name: str = "") -> list[dict[str, Any]]:
        """What was asked of the service and the nodes, in order.

        Args:
            name: Only requests of this name, as `fault` matches them.

        Returns:
            Each with ``name``, ``path``, ``bytes`` of its body and ``status`` (0 where none was given).
        """
        return [
            one
            for one in self._order("GET", "/log")
            if not name or name in one["name"].split() or name == one["name"]
        ]

    def forget(self) -> None:
        """Empty the log."""
        self._order("DELETE", "/log")

    def _order(self, method: str, path: str, value: object = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self._control}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=_CALL) as answer:
            return json.loads(answer.read())

    # -- its life -------------------------------------------------------------------------------

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hang: connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it as a crash would; what it kept is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        self.url = ""
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


class OfficialCli:
    """The official command line on one service, with a store of its own.

    Args:
        server: What it talks to.
        folder: Its configuration; made if need be.
        name: "storacha" (@storacha/cli), or "w3" (the older w3cli).
        principal: Its agent's key, "" to let it make one.
    """

    def __init__(
        self,
        server: StorachaServer,
        folder: Path,
        name: Literal["storacha", "w3"] = "storacha",
        principal: str = "",
    ) -> None:
        self.server, self.folder, self.name, self.principal = server, folder, name, principal
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def program(self) -> list[str]:
        """The command, as arguments."""
        return [node()[0], str(installed(PROJECT) / ".bin" / self.name)]

    @property
    def environment(self) -> dict[str, str]:
        """Tells it where the service is and where its store."""
        server = self.server
        if self.name == "w3":
            own = {
                "W3UP_SERVICE_URL": server.url,
                "W3UP_SERVICE_DID": server.did,
                "W3UP_RECEIPTS_ENDPOINT": server.receipts,
                "W3_STORE_NAME": "ziggurat",
                **({"W3_PRINCIPAL": self.principal} if self.principal else {}),
            }
        else:
            own = {
                "STORACHA_SERVICE_URL": server.url,
                "STORACHA_SERVICE_DID": server.did,
                "STORACHA_RECEIPTS_URL": server.receipts,
                "STORACHA_STORE_NAME": "ziggurat",
                **({"STORACHA_PRINCIPAL": self.principal} if self.principal else {}),
            }
        home = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return {**os.environ, **own, **home, "NO_UPDATE_NOTIFIER": "1", "CI": "1"}

    def run(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> str:
        """What it prints.

        Raises:
            RuntimeError: It failed, and `check` is true; the message has its last words.
        """
        done = subprocess.run(
            [*self.program, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            timeout=120,
        )
        if check and done.returncode:
            said = (done.stderr or done.stdout).decode()[-2000:]
            raise RuntimeError(f"{self.name} {' '.join(arguments)}: {said}")
        return done.stdout.decode()

    def create_space(self, name: str = "test", email: str = "someone@example.org") -> str:
        """Log in, make a space that the account pays for, use it; gives its DID."""
        self.run("login", email)
        extra = ["--no-gateway-authorization"] if self.name == "storacha" else []
        made = self.run(
            "space", "create", name, "--no-recovery", "--customer", email, "--account", email, *extra
        )
        found = re.search(r"did:key:\w+", made.partition("Space created")[2])
        assert found is not None, made
        self.run("space", "use", found[0])
        return found[0]


def record_vectors(folder: Path, target: Path) -> None:
    """Record anew what the official library signs and encodes, for the tests of the client.

    Run as ``python -m tests.support.servers.storacha plugins/storacha/tests/vectors/official.json``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_run_script(folder, "vectors.mjs"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        record_vectors(Path(work), Path(sys.argv[1]))
