"""Kubo nodes for the tests: built once, each in a folder of its own, offline, on free ports of loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.servers.build import Program, built

__all__ = ["KUBO", "KuboNode"]

KUBO = Program("ipfs", "github.com/ipfs/kubo/cmd/ipfs", "v0.43.0")

_READY = 60.0  # seconds until a daemon must answer


class KuboNode:
    """One node; its repository is made by the constructor, its daemon by `start`.

    Args:
        folder: Where its repository goes; made if need be.
        profile: Of CIDs, as ``ipfs init`` knows them.
        config: See `configure`.
        wrapper: A command line that runs the daemon's, which is put behind it.

    Attributes:
        api: URL of its RPC, without ``/api/v0``; "" while it does not run.
        gateway: URL of its gateway; "" while it does not run.
        folder: Its repository, ``IPFS_PATH``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        profile: str = "unixfs-v1-2025",
        config: Mapping[str, object] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.folder, self._wrapper = folder, wrapper
        self.api = self.gateway = ""
        self._binary = built(KUBO)
        self._daemon: subprocess.Popen[bytes] | None = None
        self.run("init", f"--profile=test,{profile}")
        # The profile "test" takes free ports of loopback and no bootstrap peers.
        self.configure({"AutoConf.Enabled": False, "Routing.Type": "none", **(config or {})})

    def configure(self, settings: Mapping[str, object]) -> None:
        """Write keys of its configuration; a daemon reads them when it starts.

        Args:
            settings: By name, such as ``{"Import.UnixFSHAMTDirectorySizeThreshold": "1KB"}``.
        """
        path = self.folder / "config"
        held = json.loads(path.read_text())
        for name, value in settings.items():
            table = held
            *rooms, last = name.split(".")
            for room in rooms:
                table = table.setdefault(room, {})
            table[last] = value
        path.write_text(json.dumps(held))

    @property
    def environment(self) -> dict[str, str]:
        """For the ``ipfs`` command on this repository."""
        return {**os.environ, "IPFS_PATH": str(self.folder), "IPFS_TELEMETRY": "off"}

    def run(self, *arguments: str, stdin: bytes | None = None) -> str:
        """What the ``ipfs`` command prints, on this node."""
        done = subprocess.run(
            [str(self._binary), *arguments],
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"ipfs {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout.decode()

    def start(self, *, offline: bool = True, ready: bool = True) -> KuboNode:
        """Start the daemon, and wait until its RPC and its gateway answer.

        Args:
            offline: Without a network; online it knows no peers, so that a search finds nothing.
            ready: Wait until the RPC answers; it does not where it wants a password.
        """
        for name in ("api", "gateway"):
            (self.folder / name).unlink(missing_ok=True)
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [*self._wrapper, str(self._binary), "daemon", *(["--offline"] if offline else [])],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _READY
        while not self._answers(ready):
            if self._daemon.poll() is not None or time.monotonic() > end:
                said = (self.folder / "daemon.log").read_text()[-2000:]
                self.stop()
                raise RuntimeError(f"the Kubo daemon did not start:\n{said}")
            time.sleep(0.05)
        return self

    def _answers(self, ready: bool) -> bool:
        try:
            address = (self.folder / "api").read_text().strip()
            self.gateway = (self.folder / "gateway").read_text().strip()
        except FileNotFoundError:
            return False
        _, kind, host, *rest = address.split("/")
        self.api = address if kind == "unix" else f"http://{host}:{rest[1]}"
        try:
            return kind == "unix" or not ready or bool(self.rpc("id"))
        except OSError:
            return False

    def ask(self, command: str, *uploads: bytes, **arguments: str | Sequence[str]) -> bytes:
        """What a command of the RPC answers.

        Args:
            command: Such as ``dag/put``.
            uploads: Files of its multipart body, in order.
            arguments: A name's ``_`` stands for ``-``; a list gives several.
        """
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        query = urlencode(named, doseq=True)
        request = urllib.request.Request(f"{self.api}/api/v0/{command}?{query}", method="POST")
        if uploads:
            edge = "ziggurat-edge"
            head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n'
            head += "Content-Type: application/octet-stream\r\n\r\n"
            request.data = b"".join(
                (*(head.encode() + part + b"\r\n" for part in uploads), f"--{edge}--\r\n".encode())
            )
            request.add_header("Content-Type", f"multipart/form-data; boundary={edge}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def rpc(self, command: str, *uploads: bytes, **arguments: str | Sequence[str]) -> Any:
        """What a command of the RPC answers: the JSON of its one line, or of all its lines; see `ask`."""
        rows = [json.loads(line) for line in self.ask(command, *uploads, **arguments).splitlines()]
        return rows[0] if len(rows) == 1 else rows

    def pins(self) -> dict[str, str]:
        """Names of the recursive pins by CID."""
        keys = self.rpc("pin/ls", type="recursive", names="true").get("Keys") or {}
        return {cid: pin.get("Name", "") for cid, pin in keys.items()}

    def wipe(self) -> None:
        """Make the node as good as new: no pins, no blocks."""
        pins = list(self.pins())
        for start in range(0, len(pins), 200):  # in one address line
            self.rpc("pin/rm", arg=pins[start : start + 200])
        self.rpc("repo/gc", quiet="true")

    def kill(self) -> None:
        """Kill the daemon as a crash would; `start` brings it back."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGKILL)
            self._daemon.wait()
            self._daemon = None
        self.api = self.gateway = ""

    def stop(self) -> None:
        """Stop the daemon and wait for its end."""
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(20)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
            self._daemon = None
        self.api = self.gateway = ""

    def remove(self) -> None:
        """Stop, and delete the repository."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
