"""Where the configuration comes from: the search order, reading, and parsing."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from attrs import field, frozen

from ziggurat.config.locate import KeyPath, locate
from ziggurat.errors import ConfigError

__all__ = ["FILE_NAME", "Document", "Source", "data_folder", "find", "mapping", "read", "starter"]

FILE_NAME = "ziggurat.toml"
_FOLDER = Path(__file__).parent
_PACKAGED = _FOLDER / "default.toml"
_STARTER = _FOLDER / "starter.toml"


@frozen
class Source:
    """Which configuration file applies, and why.

    Attributes:
        path: The file.
        origin: What named it: "--config", "ZIGGURAT_CONFIG", "./ziggurat.toml", "user file" or
            "packaged default".
    """

    path: Path
    origin: str

    @property
    def packaged(self) -> bool:
        """True for the default that comes with the core."""
        return self.origin == "packaged default"

    @property
    def label(self) -> str:
        """The file as messages name it."""
        return self.origin if self.packaged else str(self.path)

    @property
    def base(self) -> Path:
        """Absolute folder from which relative paths count; of the packaged default the user's data folder."""
        return data_folder() if self.packaged else self.path.absolute().parent


@frozen
class Document:
    """A configuration before any check.

    Attributes:
        data: The parsed tables.
        base: Folder from which relative paths count.
        label: The file as messages name it, "" for a mapping.
        lines: Lines of the keys, empty for a mapping.
        source: The file, None for a mapping.
    """

    data: Mapping[str, Any] = field(repr=False)
    base: Path
    label: str = ""
    lines: Mapping[KeyPath, int] = field(factory=dict, repr=False)
    source: Source | None = None

    def default_path(self) -> Path:
        """Derive the store's folder: ``stores/<file name>-<hash>`` in the user's data folder.

        The hash is the first 10 hex digits of the SHA-256 of the file's real path, so that every file has
        a catalog of its own; a file that is moved needs ``store.path``. For a mapping it is that of its
        text.
        """
        if self.source is None:
            name, text = "mapping", repr(self.data)
        elif self.source.packaged:
            return self.base / "default" / "catalog"
        else:
            text = os.path.realpath(self.source.path)
            name = Path(text).stem
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        return data_folder() / "stores" / f"{name}-{digest}"


def data_folder() -> Path:
    """Give the user's data folder of Ziggurat."""
    return Path(platformdirs.user_data_dir("ziggurat"))


def user_file() -> Path:
    """Give the place of the user's configuration file, whether or not it is there."""
    return Path(platformdirs.user_config_dir("ziggurat")) / FILE_NAME


def find(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Source:
    """Find the configuration file that applies.

    The search order is: `path`, the file that ``ZIGGURAT_CONFIG`` names, ``./ziggurat.toml``, the user's
    file, the packaged default. What is named on purpose is not looked for: `read` reports it when it is
    missing.

    Args:
        path: What the user named, or None.
        environ: The environment for ``ZIGGURAT_CONFIG``; the user's folders are those of the process.

    Returns:
        The file, and what named it.
    """
    if path is not None:
        return Source(_named(path), "--config")
    if named := environ.get("ZIGGURAT_CONFIG"):
        return Source(_named(named), "ZIGGURAT_CONFIG")
    # Anything of that name counts, a folder or a dangling link too: read() then says what is wrong.
    if os.path.lexists(FILE_NAME):
        return Source(Path(FILE_NAME), "./ziggurat.toml")
    if os.path.lexists(user_file()):
        return Source(user_file(), "user file")
    return Source(_PACKAGED, "packaged default")


def _named(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # an unknown user: the path is then reported as missing
        return Path(path)


def read(source: Source) -> Document:
    """Read and parse a configuration file.

    Args:
        source: The file.

    Returns:
        Its tables, not yet checked.

    Raises:
        ConfigError: It cannot be read, or is not TOML.
    """
    named = " (named by ZIGGURAT_CONFIG)" if source.origin == "ZIGGURAT_CONFIG" else ""
    try:
        text = source.path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _error(f"{source.label}: no such file{named}; `ziggurat config init` writes one") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _error(f"{source.label}:{line}: not UTF-8; save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise _error(f"{source.label}: cannot be read{named}: {reason.lower()}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _error(_syntax(source.label, text, str(error))) from None
    except RecursionError:
        raise _error(f"{source.label}: nested too deeply to be a configuration") from None
    except ValueError as error:
        # tomllib lets the errors of int() and datetime() pass: too many digits, the 32nd of a month.
        raise _error(f"{source.label}: not TOML: {error}") from None
    return Document(data, source.base, source.label, locate(text), source)


def mapping(data: Mapping[str, Any]) -> Document:
    """Take a configuration that a program made; relative paths count from the current folder."""
    return Document(data, Path.cwd())


def _syntax(label: str, text: str, message: str) -> str:
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    if found is None:
        return f"{label}: not TOML: {message}"
    line = int(found[1]) if found[1] else text.count("\n", 0, len(text.rstrip())) + 1
    column = f", column {found[2]}" if found[2] else ""
    reason = message[: found.start()]
    return f"{label}:{line}: not TOML{column}: {reason[:1].lower()}{reason[1:]}"


def _error(line: str) -> ConfigError:
    return ConfigError(line, problems=(line,))


def starter() -> str:
    """Give the commented configuration that ``ziggurat config init`` writes."""
    return _STARTER.read_text("utf-8")
