"""The program as a whole: start-up, help, plugin commands, and how a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ziggurat.cli import main
from ziggurat.cli._app import COMMANDS, root
from ziggurat.cli._session import Session
from ziggurat.errors import ConfigError

from .conftest import CID, FakeStore, Result

Run = Callable[..., Result]


def ziggurat(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziggurat", *args],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | (env or {}),
    )


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(command)
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            if path or name in COMMANDS:  # a plugin tests its own
                yield from leaves(found, (*path, name))


PATHS = list(leaves(root))


def test_version() -> None:
    result = ziggurat("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("ziggurat ")


@pytest.mark.parametrize("args", [("--version",), ("--help",)])
def test_start_up_imports_nothing_slow(args: tuple[str, ...]) -> None:
    code = f"""
        import contextlib, io, sys
        from ziggurat.cli import main
        with contextlib.redirect_stdout(io.StringIO()):
            assert main({args!r}) == 0
        print(*sys.modules)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = set(result.stdout.split())
    slow = {
        "rich",
        "apsw",
        "stamina",
        "sqlite3",
        "mmh3",
        "asyncio",
        "ziggurat.engine.store",
        "ziggurat.config",
    }
    ours = {entry.module for entry in COMMANDS.values()}
    assert not loaded & slow
    assert not loaded & ours
    assert not any(name.startswith(("ziggurat_", "boto")) for name in loaded)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_has_help_with_examples(path: tuple[str, ...], run: Run) -> None:
    result = run(*path, "--help")
    assert result.code == 0
    assert "Examples:" in result.text
    assert result.text.split("Examples:")[1].strip().startswith(("ziggurat", "eval", "tar", "curl"))
    assert run(*path, "-h").text == result.text
    for option in ("--json", "--config", "--verbose"):
        assert option in result.text
    assert max(map(len, result.text.splitlines())) <= 80


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    command: click.Command = root
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, param.opts
    assert command.help


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    for name, entry in COMMANDS.items():
        command = root.get_command(click.Context(root), name)
        assert command is not None
        assert command.name == name
        assert entry.help.endswith(".")


@pytest.mark.parametrize(
    "args", [("frobnicate",), ("put",), ("put", "--frob", "x"), ("config", "chek"), ("evict", CID)]
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Run, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert (result.code, result.out) == (2, b"")
    assert len(result.err.splitlines()) == 1
    result = run(*args, "--json")
    assert result.code == 2
    assert result.errors[0]["error"] == "UsageError"


def test_a_near_miss_is_suggested(run: Run) -> None:
    assert "did you mean 'evict'?" in run("evcit").err
    assert "did you mean 'check'" in run("config", "chek").err


def test_no_arguments_show_the_help(run: Run) -> None:
    result = run()
    assert result.code == 2
    assert "Usage: ziggurat" in result.err


def test_an_unexpected_exception_is_one_line(run: Run, store: FakeStore) -> None:
    store.answers["stats"] = ZeroDivisionError("over\nzero")
    result = run("stats")
    assert (result.code, result.out) == (1, b"")
    assert result.err == (
        "error: internal error: ZeroDivisionError: over; zero (a bug; run again with -v, and report it)\n"
    )
    assert run("stats", "--json").errors[0]["error"] == "InternalError"
    assert "Traceback" not in run("stats", "--json").err
    assert store.closed


def test_verbose_shows_the_traceback(run: Run, store: FakeStore) -> None:
    store.answers["stats"] = ZeroDivisionError("over zero")
    assert "Traceback" in run("-v", "stats").err
    store.answers["stats"] = PermissionError(13, "Permission denied", "x")
    assert "Traceback" not in run("-v", "stats").err
    assert "Traceback" in run("stats", "-vv").err


@pytest.fixture(autouse=True)
def quiet_logging() -> Iterator[None]:
    import logging

    logger = logging.getLogger("ziggurat")
    before, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = before
    logger.setLevel(level)


def test_interrupted(run: Run, store: FakeStore) -> None:
    store.answers["stats"] = KeyboardInterrupt()
    result = run("stats")
    assert (result.code, result.out, result.err.strip()) == (130, b"", "interrupted")
    assert store.closed


def test_the_store_is_closed_after_a_failure_and_its_own_failure_is_told(run: Run) -> None:
    class Stubborn(FakeStore):
        def close(self) -> None:
            raise OSError(5, "Input/output error")

    stubborn: Any = Stubborn({"stats": KeyError("x")})
    assert main(["stats"], session=Session(opener=lambda config: stubborn)) == 1


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from types import SimpleNamespace
from ziggurat.cli import main
from ziggurat.cli._session import Session
from ziggurat.errors import ConfigError

class Endless:
    def close(self): print("closed", file=sys.stderr)
    def stream(self, ref, offset, length):
        while True:
            yield b"x" * 65536
    def roots(self):
        while True:
            yield SimpleNamespace(cid={cid!r}, size=1, type="file", created=0.0)
    def export_car(self, ref, target, progress=None):
        while True:
            target.write(b"x" * 65536)
    def stats(self):
        {stats}

sys.exit(main(session=Session(opener=lambda config: Endless())))
"""


def endless(*args: str, stats: str = "pass") -> subprocess.Popen[bytes]:
    script = SCRIPT.format(tests=str(Path(__file__).parent), cid=CID, stats=stats)
    return subprocess.Popen(
        [sys.executable, "-c", script, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A suite that runs in the background of a shell has it ignored, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize(
    "args", [("cat", CID), ("ls",), ("ls", "--json"), ("export", CID), ("get", "-o", "-", CID)]
)
def test_a_closed_pipe_ends_quietly(args: tuple[str, ...]) -> None:
    with endless(*args) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b"closed\n"
        assert process.wait(20) == 141


def test_the_log_stays_off_stderr_unless_asked_for() -> None:
    """Outside pytest, where nobody but us handles the log."""
    warn = "import logging; logging.getLogger('ziggurat.engine').warning('made good'); raise OSError('no')"
    with endless("stats", stats=warn) as process:
        assert process.communicate(timeout=20)[1] == b"closed\nerror: no\n"
    with endless("-v", "stats", stats=warn) as process:
        assert b"WARNING ziggurat.engine: made good" in process.communicate(timeout=20)[1]


def test_another_broken_pipe_is_told() -> None:
    with endless("stats", stats="raise BrokenPipeError(32, 'Broken pipe')") as process:
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b"closed by its other end" in err


def test_a_full_disk_under_stdout_is_told() -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "ziggurat", "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=20,
        )
    assert result.returncode == 1
    assert b"no space left" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_stops_a_long_read() -> None:
    with endless("cat", CID) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(100_000)
        process.send_signal(signal.SIGINT)
        while process.stdout.read(1 << 20):
            pass
        assert b"interrupted" in process.stderr.read()
        assert process.wait(20) == 130


def test_closed_standard_streams() -> None:
    for redirect in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        line = f"{sys.executable} -m ziggurat completion bash {redirect}"
        result = subprocess.run(["sh", "-c", line], capture_output=True, timeout=20)
        assert result.returncode == 0
        assert result.stderr == b""


@pytest.fixture
def plugins(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Pretend that distributions are installed; gives the environment in which they are."""

    def install(distribution: str, version: str, names: dict[str, str], **modules: str) -> dict[str, str]:
        folder = tmp_path / "site" / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = "\n".join(f"{name} = {target}" for name, target in names.items())
        (folder / "entry_points.txt").write_text(f"[ziggurat.commands]\n{lines}\n")
        for module, text in modules.items():
            (tmp_path / "site" / f"{module}.py").write_text(textwrap.dedent(text))
        return {"PYTHONPATH": str(tmp_path / "site")}

    return install


SHELF = """
    from ziggurat.command import group, pass_session
    from ziggurat.errors import TierFull

    @group("shelf", examples="ziggurat shelf dust")
    def shelf():
        "Look after shelves."

    @shelf.command("dust", epilog="Examples: none")
    @pass_session
    def dust(session):
        "Say how dusty they are."
        session.record("7 g", grams=7)
        with session.attempt("shelf 2"):
            raise TierFull("no room", tier="two", op="put")
"""


def test_a_plugin_command(plugins: Callable[..., dict[str, str]]) -> None:
    env = plugins("zig-shelf", "1.2", {"shelf": "zig_shelf:shelf"}, zig_shelf=SHELF)
    assert "from zig-shelf" in ziggurat("--help", env=env).stdout
    result = ziggurat("shelf", "dust", "--json", env=env)
    assert (result.returncode, json.loads(result.stdout)) == (7, {"grams": 7})
    assert json.loads(result.stderr)["tier"] == "two"
    assert ziggurat("shelf", "dust", env=env).stderr == "error: shelf 2: tier 'two': put: no room\n"
    assert "did you mean 'dust'" in ziggurat("shelf", "dusty", env=env).stderr


def test_a_plugin_command_reads_the_configuration_without_opening_it(tmp_path: Path) -> None:
    session = Session(opener=lambda config: pytest.fail("the store was opened"))
    file = tmp_path / "stack.toml"
    file.write_text(
        '[store]\npath = "vault"\n[[tier]]\nname = "ram"\nbackend = "memory"\ncapacity = "1 MB"\n'
    )
    session.config = str(file)
    ((name, options),) = session.configured("memory")
    assert name == "ram"
    assert type(options).__module__ == "ziggurat_memory._options"
    assert session.configured("disk") == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stack.toml"]
    file.write_text("nonsense")
    with pytest.raises(ConfigError):
        session.configured("memory")


def test_without_a_configuration_nothing_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("ZIGGURAT_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Session().configured("memory") == ()


def test_a_broken_plugin_breaks_nothing_but_itself(plugins: Callable[..., dict[str, str]]) -> None:
    env = plugins(
        "zig-broken",
        "0.9",
        {"broken": "zig_broken:it", "odd": "zig_odd:it"},
        zig_broken="raise RuntimeError('half an upgrade')",
        zig_odd="it = 7",
    )
    assert ziggurat("--version", env=env).returncode == 0
    help = ziggurat("--help", env=env)  # noqa: A001 - the text of the help
    assert help.returncode == 0
    assert "broken" in help.stdout
    result = ziggurat("broken", env=env)
    assert result.returncode == 3
    assert "zig-broken 0.9" in result.stderr
    assert "half an upgrade" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    result = ziggurat("odd", env=env)
    assert result.returncode == 3
    assert "not a click command" in result.stderr


def test_two_plugins_with_one_name(plugins: Callable[..., dict[str, str]]) -> None:
    plugins("zig-a", "1", {"shelf": "zig_a:shelf"}, zig_a=SHELF)
    env = plugins("zig-b", "2", {"shelf": "zig_b:shelf"}, zig_b=SHELF)
    result = ziggurat("shelf", "dust", env=env)
    assert result.returncode == 3
    assert "zig-a" in result.stderr
    assert "zig-b" in result.stderr
    assert ziggurat("zig-b:shelf", "dust", env=env).stdout == "7 g\n"


def test_a_plugin_cannot_replace_a_built_in_command(plugins: Callable[..., dict[str, str]]) -> None:
    env = plugins("zig-evil", "1", {"backends": "zig_evil:it"}, zig_evil="raise SystemExit('took over')")
    result = ziggurat("backends", "--json", env=env)
    assert result.returncode == 0
    assert "took over" not in result.stdout + result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.code == 0
    assert "_ZIGGURAT_COMPLETE" in result.text


def test_completion_of_commands_and_options() -> None:
    env = {"_ZIGGURAT_COMPLETE": "bash_complete", "COMP_WORDS": "ziggurat e", "COMP_CWORD": "1"}
    assert ziggurat(env=env).stdout.split() == ["plain,export", "plain,evict", "plain,explain"]
    env = {"_ZIGGURAT_COMPLETE": "bash_complete", "COMP_WORDS": "ziggurat config s", "COMP_CWORD": "2"}
    assert ziggurat(env=env).stdout.split() == ["plain,schema", "plain,show"]
    env = {"_ZIGGURAT_COMPLETE": "bash_complete", "COMP_WORDS": "ziggurat cat --ra", "COMP_CWORD": "2"}
    assert ziggurat(env=env).stdout.split() == ["plain,--range"]
