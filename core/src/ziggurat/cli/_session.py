"""One run of the command line: its options, the store it opens, what it prints and how it ends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from ziggurat.cli import _output
from ziggurat.cli._exit import Exit, exit_code
from ziggurat.cli._progress import Bar
from ziggurat.errors import ZigguratError

if TYPE_CHECKING:
    from ziggurat.engine.store import Store

__all__ = ["Session", "TierPlugin", "pass_session"]

log = logging.getLogger("ziggurat.cli")


def _open_store(config: str | None) -> Store:
    from ziggurat.engine.store import open_store

    return open_store(config)


@frozen
class TierPlugin:
    """A configured tier, for the commands of its own backend.

    Attributes:
        name: Name of the tier.
        role: Its role.
        options: An instance of the backend's options class.
        plugin: The object that the backend's factory made.
    """

    name: str
    role: str
    options: Any
    plugin: Any


class Session:
    """What every command shares; commands receive it through `pass_session`.

    Attributes:
        json: Records and errors are printed as one object a line.
        config: The ``--config`` that was given, or None.
        verbose: How often ``-v`` was given.
        code: What the process will end with: 0, or the exit code of the first failure.
    """

    def __init__(self, opener: Callable[[str | None], Store] = _open_store) -> None:
        self.json = False
        self.config: str | None = None
        self.verbose = 0
        self.code: int = Exit.DONE
        self._opener = opener
        self._store: Store | None = None
        self._unopened: Exception | None = None
        self._bar: Bar | None = None

    @property
    def store(self) -> Store:
        """The configured store, opened when first asked for and closed when the command ends.

        Raises:
            ConfigError: The configuration cannot be used.
            ZigguratError: The store cannot be opened.
        """
        if self._store is None:
            try:
                self._store = self._opener(self.config)
            except Exception as error:
                self._unopened = error
                raise
        return self._store

    @property
    def opened(self) -> bool:
        """Whether the store is open."""
        return self._store is not None

    def close(self) -> None:
        """Close the store, if it was opened."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def tiers(self, backend: str) -> tuple[TierPlugin, ...]:
        """Give the configured tiers of a backend, hottest first.

        Args:
            backend: Entry-point name of the backend whose commands these are.
        """
        return tuple(
            TierPlugin(tier.name, tier.config.role, tier.config.options, tier.plugin)
            for tier in self.store.tiers
            if tier.config.provider.name == backend
        )

    def configured(self, backend: str) -> tuple[tuple[str, Any], ...]:
        """Give name and options of the configured tiers of a backend, hottest first; opens nothing.

        For commands that must work before the store can: a login, a set-up. Without a configuration of the
        user's there are none.

        Args:
            backend: Entry-point name of the backend whose commands these are.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        import os

        from ziggurat.config import find, load

        source = find(self.config, os.environ)
        if source.packaged:
            return ()
        return tuple(
            (tier.name, tier.options) for tier in load(source).tiers if tier.provider.name == backend
        )

    def record(self, text: str, /, **values: Any) -> None:
        """Print one record on stdout.

        Args:
            text: What a person reads, one line.
            values: What ``--json`` prints. Use `cid`, `path`, `size` (plain bytes), `type`, `tier` and
                `copies` for what they mean everywhere; keep keys stable.
        """
        with self._unhidden():
            if self.json:
                _output.print_json(values)
            else:
                _output.print_text(text)

    def remark(self, text: str) -> None:
        """Tell a watching person something that is no record; silent in a pipe and with ``--json``."""
        if not self.json and sys.stderr.isatty():
            with self._unhidden():
                click.echo(text, err=True)

    def fail(self, error: BaseException, *, path: str = "") -> None:
        """Print an error and remember its exit code, unless an earlier failure set one.

        Args:
            error: What happened.
            path: The input it is about, if one of several.
        """
        with self._unhidden():
            _output.print_error(error, as_json=self.json, path=path)
        log.debug("traceback of the error above", exc_info=error)
        self.ends_with(exit_code(error))

    def ends_with(self, code: int) -> None:
        """Set the exit code, unless an earlier failure set one."""
        if self.code == Exit.DONE:
            self.code = code

    @contextmanager
    def attempt(self, path: str = "") -> Iterator[None]:
        """Do the work for one of several inputs: a failure is printed and the next input has its turn.

        Args:
            path: The input, for the message.
        """
        try:
            yield
        except (ZigguratError, OSError) as error:
            if error is self._unopened:  # no other input would fare better
                raise
            if isinstance(error, BrokenPipeError) and _output.output_gone():
                raise
            self.fail(error, path=path)

    @contextmanager
    def progress(self, label: str, total: int | None = None, counted: str = "") -> Iterator[Bar]:
        """Show a bar with rate and time left while long work runs and a person watches stderr.

        Args:
            label: What is going on.
            total: Bytes in all, None when unknown.
            counted: What is counted if not bytes.

        Yields:
            A callback that takes the number of bytes done since its last call.
        """
        before = self._bar
        with Bar(_output.printable(label), total, counted=counted) as bar:
            self._bar = bar
            try:
                yield bar
            finally:
                self._bar = before

    @contextmanager
    def _unhidden(self) -> Iterator[None]:
        if self._bar is None:
            yield
        else:
            with self._bar.hidden():
                yield

    def log_to_stderr(self) -> None:
        """Send the log of Ziggurat to stderr: -v its events, -vv its details."""
        logger = logging.getLogger("ziggurat")
        if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
            logger.addHandler(_StderrHandler())
        logger.setLevel(logging.DEBUG if self.verbose > 1 else logging.INFO)


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(self.format(record), err=True)
        except OSError:
            return


pass_session = click.make_pass_decorator(Session, ensure=True)
"""Gives the `Session` to a command as its first argument."""
