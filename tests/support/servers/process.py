"""A server as a process of ours: started when it answers, ended when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["ServerProcess", "free_port"]

_PATIENCE = 60.0  # seconds until a server must answer


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A program that runs until it is stopped.

    Args:
        log: Where its output is appended.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(
        self, command: Sequence[str], answers: Callable[[], bool], *, more: Mapping[str, str] | None = None
    ) -> None:
        """Start it, and wait until it answers.

        Args:
            command: The program and its arguments.
            answers: Whether it does; an OSError means not yet.
            more: Variables of its environment beside ours.

        Raises:
            RuntimeError: It ended, or did not answer within a minute; the message has its last words.
        """
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                command,
                env={**os.environ, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            if self._answered(answers):
                return
        except BaseException:  # such as the end of a test's time
            self.stop()
            raise
        self.stop()
        said = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{Path(command[0]).name} did not start:\n{said}")

    def _answered(self, answers: Callable[[], bool]) -> bool:
        end = time.monotonic() + _PATIENCE
        # Only while it runs is an answer its own: the port may have gone to somebody else meanwhile.
        while self._running is not None and self._running.poll() is None and time.monotonic() < end:
            try:
                if answers():
                    return self._running.poll() is None
            except OSError:
                pass
            time.sleep(0.02)
        return False

    @property
    def pid(self) -> int:
        """Its process, 0 while it does not run."""
        return self._running.pid if self._running is not None else 0

    def freeze(self) -> None:
        """Let it hang: connections are accepted, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self._running is not None:
            self._running.send_signal(signal.SIGCONT)
            self._running.terminate()
            try:
                self._running.wait(20)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()
            self._running = None
