"""The first level of the command line, and how a run ends."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Sequence

import click

from ziggurat.cli import _output
from ziggurat.cli._exit import Exit
from ziggurat.cli._group import Lazy, LazyGroup, OutputGoneError
from ziggurat.cli._session import Session, log
from ziggurat.errors import ZigguratError

__all__ = ["COMMANDS", "InternalError", "main", "root"]

_CONTENT, _KEEP, _LOOK, _SETUP = "Content", "Keep and free", "Look", "Set up"

COMMANDS = {
    "cid": Lazy(_CONTENT, "ziggurat.cli.cid", "Compute CIDs; store nothing, read no configuration."),
    "put": Lazy(_CONTENT, "ziggurat.cli.put", "Store files, directories or standard input."),
    "get": Lazy(_CONTENT, "ziggurat.cli.get", "Save a file or a directory to disk."),
    "cat": Lazy(_CONTENT, "ziggurat.cli.get", "Write the bytes of files to standard output."),
    "import": Lazy(_CONTENT, "ziggurat.cli.put", "Store the content of CAR files."),
    "export": Lazy(_CONTENT, "ziggurat.cli.get", "Write a file or a directory as a CAR file."),
    "pin": Lazy(_KEEP, "ziggurat.cli.keep", "Refuse to remove or evict until unpinned."),
    "unpin": Lazy(_KEEP, "ziggurat.cli.keep", "Take a pin away."),
    "evict": Lazy(_KEEP, "ziggurat.cli.keep", "Give up the copy on one tier."),
    "rm": Lazy(_KEEP, "ziggurat.cli.keep", "Drop roots, so that gc may free what only they reach."),
    "gc": Lazy(_KEEP, "ziggurat.cli.keep", "Free what no root and no pin reaches."),
    "ls": Lazy(_LOOK, "ziggurat.cli.look", "List a directory, or the roots."),
    "stat": Lazy(_LOOK, "ziggurat.cli.look", "Say what is known of a blob."),
    "has": Lazy(_LOOK, "ziggurat.cli.look", "Say whether a store or a source holds a blob."),
    "explain": Lazy(_LOOK, "ziggurat.cli.look", "Say where a blob is and which tier would answer."),
    "stats": Lazy(_LOOK, "ziggurat.cli.look", "Say what the tiers hold and what is kept."),
    "simulate": Lazy(_LOOK, "ziggurat.cli.foresee", "Replay a trace against a policy, or against the stack."),
    "advise": Lazy(_LOOK, "ziggurat.cli.foresee", "Say what other policies and sizes would change."),
    "verify": Lazy(_LOOK, "ziggurat.cli.verify", "Read copies and prove every byte."),
    "config": Lazy(_SETUP, "ziggurat.cli.config", "Check, show, describe or start the configuration."),
    "backends": Lazy(_SETUP, "ziggurat.cli.backends", "List the installed backends, importing none."),
    "doctor": Lazy(_SETUP, "ziggurat.cli.doctor", "Look for what is wrong, and say how to mend it."),
    "completion": Lazy(_SETUP, "ziggurat.cli.completion", "Print the completion script of a shell."),
}


class InternalError(Exception):
    """What a user sees of an exception that nobody expected."""


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"ziggurat {version('ziggurat')}")
        ctx.exit()


@click.group(
    "ziggurat",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="\b\nExamples:\n"
    "  ziggurat put photos/             store a directory, print its CID\n"
    "  ziggurat get bafy... -o photos   get it back\n"
    "  ziggurat put --help              the options and examples of a command",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version and exit.",
)
@click.pass_context
def root(ctx: click.Context) -> None:
    """One address, any storage: blobs under their IPFS CIDs, on a stack of tiers."""
    ctx.call_on_close(ctx.ensure_object(Session).close)


def main(argv: Sequence[str] | None = None, *, session: Session | None = None) -> int:
    """Run the command line; see `ziggurat.cli.main`."""
    args = list(sys.argv[1:] if argv is None else argv)
    session = session or Session()
    if os.name == "nt":
        click.echo("error: windows is not supported yet; use linux, macos or wsl", err=True)
        return Exit.FAILED
    _prepare_streams()
    # Without a handler Python prints warnings by itself, and stderr is for errors; -v shows the log.
    logging.getLogger("ziggurat").addHandler(logging.NullHandler())
    code = _run(args, session)
    return int(_flush(session, code))


def _run(args: list[str], session: Session) -> int:
    try:
        result = root.main(args, prog_name="ziggurat", standalone_mode=False, obj=session)
    except (click.Abort, KeyboardInterrupt):
        with contextlib.suppress(OSError):
            click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except OutputGoneError:
        return Exit.CLOSED_PIPE
    except click.ClickException as error:
        if error.__class__.__name__ == "NoArgsIsHelpError":  # click >= 8.2: the help is its message
            error.show()
            return Exit.USAGE
        session.json = session.json or "--json" in args
        if isinstance(error, click.UsageError):
            error = click.UsageError(_usage(error))
        _output.print_error(error, as_json=session.json)
        return error.exit_code
    except (ZigguratError, OSError) as error:
        session.fail(error)
    except SystemExit as end:  # a plugin's command may end the process its own way
        return end.code if isinstance(end.code, int) else Exit.FAILED if end.code else session.code
    except Exception as error:  # noqa: BLE001 - the last place: a traceback never reaches a user
        log.info("internal error", exc_info=error)
        advice = "report the traceback above" if session.verbose else "run again with -v, and report it"
        session.fail(InternalError(f"internal error: {type(error).__name__}: {error} (a bug; {advice})"))
    else:
        if isinstance(result, int) and not isinstance(result, bool) and result:
            session.ends_with(result)
    return session.code


def _usage(error: click.UsageError) -> str:
    """One lower-case line, as our own messages are, with the way to the help."""
    text = error.format_message().rstrip(".")
    if not text[1:2].isupper():  # an abbreviation stays as it is
        text = f"{text[:1].lower()}{text[1:]}"
    where = f" (see '{error.ctx.command_path} --help')" if error.ctx is not None else ""
    return f"{text}{where}"


class _ClosedInput(io.RawIOBase):
    """Standard input that was closed: reading it is an error, not the end of nothing."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise OSError(errno.EBADF, "standard input is closed")


def _prepare_streams() -> None:
    # Python sets those to None that whoever started us has closed.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - it lives as long as the process
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedInput()), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name that the locale cannot write must not end the command
            reconfigure(errors="backslashreplace")


def _flush(session: Session, code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or Exit.CLOSED_PIPE
    except OSError as error:
        session.fail(error, path="standard output")
        code = code or Exit.FAILED
    else:
        return code
    with contextlib.suppress(OSError, ValueError):  # or the interpreter flushes again and complains
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
