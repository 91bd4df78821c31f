"""The file in which an agent's state lies: its owner's alone, replaced whole, one writer at a time."""

from __future__ import annotations

import fcntl
import glob
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ziggurat.errors import ConfigError
from ziggurat_storacha.client.state import State, decode_state, encode_state

__all__ = ["StateFile", "default_path", "official_paths"]

log = logging.getLogger("ziggurat.storacha")

_MAX_STATE = 256 << 20


def default_path() -> Path:
    """Where the state lies by default: ``storacha/agent.json`` in the user's data folder."""
    import platformdirs

    return platformdirs.user_data_path("ziggurat") / "storacha" / "agent.json"


def official_paths() -> list[Path]:
    """The files that the official command lines keep on this machine, those of Storacha's first."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    names = [
        os.environ.get("STORACHA_STORE_NAME") or "storacha-cli",
        os.environ.get("W3_STORE_NAME") or "w3cli",
    ]
    folders = [base / "w3access", Path.home() / "Library/Preferences/w3access"]
    found = (folder / f"{name}.json" for name in names for folder in folders)
    return [path for path in found if path.is_file()]


class StateFile:
    """A state on disk. Safe to use from several threads and processes.

    Readers need no lock: the file is replaced whole. Another tool that writes the same file without our lock
    may lose what was written at the same moment; it never leaves a broken file.

    Args:
        path: The file; None for the user's own.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = default_path() if path is None else path.expanduser()

    def load(self) -> State | None:
        """Read the state; None if there is no file.

        Raises:
            ConfigError: It cannot be read, or is no state.
        """
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(_MAX_STATE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot read the agent's state: {error}") from error
        if mode & 0o077:
            log.warning("others may read the private key in %s: chmod 600 it", self.path)
        if len(data) > _MAX_STATE:
            raise ConfigError(f"{self.path} is larger than any agent's state")
        try:
            return decode_state(data)
        except ConfigError as error:
            raise ConfigError(f"{self.path}: {error.message}") from error

    def update(self, change: Callable[[State | None], State]) -> State:
        """Change the state; nobody else changes it meanwhile.

        Args:
            change: Is given the state, None if there is none, and gives the new one.

        Returns:
            The new state, which survives a power cut.

        Raises:
            ConfigError: The file cannot be read or written.
        """
        try:
            with self._alone():
                before = self.load()
                after = change(before)
                if after is not before:
                    self._write(encode_state(after))
                return after
        except OSError as error:
            raise ConfigError(f"cannot write the agent's state: {error}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Beside the file itself: whoever comes over a link must meet those who do not.
        lock = f"{os.path.realpath(self.path)}.lock"
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write(self, data: bytes) -> None:
        target = Path(os.path.realpath(self.path))
        head = f".{target.name}."
        # What a killed writer left holds a private key. We are alone: nobody writes one now.
        for left in target.parent.glob(f"{glob.escape(head)}*.tmp"):
            with suppress(OSError):
                left.unlink()
        fd, aside = tempfile.mkstemp(".tmp", head, target.parent)  # with mode 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(aside).unlink()
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
