"""The documentation is true: its code blocks run, and everything public stands in its reference."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
from attrs import frozen
from markdown_it import MarkdownIt
from tests.support.servers.s3 import S3Server
from tests.support.servers.storacha import StorachaServer

from ziggurat import errors

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs/reference"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("core/README.md"),
    *ROOT.glob("plugins/*/README.md"),
]
PAGES += [page for page in sorted(ROOT.glob("docs/**/*.md")) if "_build" not in page.parts]
RUN = {"python", "console", "sh"}
DATA = {"toml", "json", "text", "{eval-rst}", "{toctree}", "{include}", ""}
FILE = re.compile(r"`([^`]+)`:")
PRINTED = "It prints:"
SERVED = re.compile(r"^<!-- with: (\w+) -->$", re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: .+ -->")


@frozen
class Block:
    """A fenced block of a page, and what stands right above it."""

    language: str
    text: str
    line: int
    file: str | None = None
    not_run: bool = False
    printed: bool = False


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page; "`NAME`:" above one names the file that it is.

    "It prints:" stands above what the script before it prints.
    """
    above = ""
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence":
            language = token.info.split()[0] if token.info else ""
            line = token.map[0] + 1 if token.map else 0
            named = FILE.fullmatch(above)
            file = named[1] if named else None
            not_run = NOT_RUN.fullmatch(above) is not None
            yield Block(language, token.content, line, file, not_run, above == PRINTED)
        if token.type in {"inline", "html_block"}:
            above = token.content.strip()
        elif not token.type.startswith("paragraph"):
            above = ""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that it shows."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def matches(shown: str, said: str) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in shown.strip().split("..."))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and home, with this environment's programs; what pip installs goes beside them."""
    work, home, site = (tmp_path / name for name in ("work", "home", "site"))
    work.mkdir()
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("AWS_", "STORACHA_", "XDG_", "ZIGGURAT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PIP_BUILD_CONSTRAINT", raising=False)  # pip refuses it without build isolation
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("COLUMNS", "200")
    for option, value in {
        "TARGET": str(site),
        "NO_DEPS": "1",
        "NO_BUILD_ISOLATION": "0",
        "QUIET": "1",
    }.items():
        monkeypatch.setenv(f"PIP_{option}", value)
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def served(page: Path, own_s3: Callable[[str], S3Server], tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Starts the servers that a page asks for, before `place` hides the user's cache; variables name them."""
    found: dict[str, str] = {}
    with ExitStack() as stack:
        for name in SERVED.findall(page.read_text()):
            if name != "storacha":
                found |= own_s3(name).environment
                continue
            server = StorachaServer(tmp_path / "storacha").start()
            stack.callback(server.stop)
            found |= {
                "STORACHA_SERVICE_URL": server.url,
                "STORACHA_SERVICE_DID": server.did,
                "STORACHA_GATEWAY_URL": server.url,
                "STORACHA_INDEXER_URL": server.url,
            }
        yield found


def shell(script: str, where: str) -> str:
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{where}: exit {done.returncode}\n{script}\n{done.stdout}"
    return done.stdout


def run_console(text: str, where: str) -> None:
    """Run each command in the folder of the page; variables last until the end of the block."""
    variables = ""
    for command, shown in commands(text):
        said = shell(f"{variables}{command}", where)
        if re.match(r"\w+=", command):
            variables += f"{command}\n"
        assert matches(shown, said), f"{where}: $ {command}\nshown:\n{shown}\nsaid:\n{said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(
    page: Path, served: Mapping[str, str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in served.items():
        monkeypatch.setenv(name, value)
    namespace: dict[str, object] = {"__name__": "__main__"}
    said = ""
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.not_run:
            continue
        if block.file is not None:
            target = place / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, page, "exec"), namespace)
        elif block.language == "console":
            run_console(block.text, where)
        elif block.printed:
            assert matches(block.text, said), f"{where}: shown:\n{block.text}\nsaid:\n{said}"
        elif block.language == "sh" and not block.text.startswith(("make ", "pip ")):
            said = shell(block.text, where)  # those two prepare the environment that the test is in already


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_have_a_language_that_is_run_or_is_data(page: Path) -> None:
    for block in blocks(page):
        assert block.language in RUN | DATA, f"{page}:{block.line}: {block.language}"


def test_a_wrong_output_is_noticed(place: Path) -> None:
    run_console("$ x=1\n$ echo $x and more\n1 ... more\n", "here")
    with pytest.raises(AssertionError, match="said"):
        run_console("$ echo two\none\n", "here")
    with pytest.raises(AssertionError, match="exit 3"):
        run_console("$ exit 3\n", "here")


def test_relative_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page}: {link}"


def test_every_hook_is_documented_with_its_exact_arguments() -> None:
    from ziggurat.plugin.hookspecs import OPTIONAL, REQUIRED, BackendSpec

    wanted = set()
    for name in (*REQUIRED, *OPTIONAL):
        arguments = list(inspect.signature(getattr(BackendSpec, name)).parameters)[1:]
        wanted.add(f"{name}({', '.join(arguments)})")
    text = (REFERENCE / "hooks.md").read_text()
    assert set(re.findall(r"^### `(.+)`$", text, re.MULTILINE)) == wanted
    assert set(re.findall(r"automethod:: ziggurat\.plugin\.hookspecs\.BackendSpec\.(\w+)", text)) == {
        *REQUIRED,
        *OPTIONAL,
    }


def test_every_hook_says_what_it_takes_gives_and_raises() -> None:
    from ziggurat.plugin.hookspecs import OPTIONAL, REQUIRED, BackendSpec

    for name in (*REQUIRED, *OPTIONAL):
        hook = getattr(BackendSpec, name)
        text = inspect.getdoc(hook) or ""
        signature = inspect.signature(hook)
        for argument in list(signature.parameters)[1:]:
            assert re.search(rf"^    {argument}: ", text, re.MULTILINE), f"{name}: {argument}"
        assert signature.return_annotation in (None, "None") or "Returns:" in text, name
        assert name == "close" or "Raises:" in text, name


def test_every_method_of_the_store_is_documented() -> None:
    from ziggurat import Store

    page = (REFERENCE / "api.md").read_text()
    assert re.search(r"autoclass:: ziggurat\.Store\n +:inherited-members:", page), "its methods are inherited"
    for name, method in inspect.getmembers(Store, callable):
        assert name.startswith("_") or inspect.getdoc(method), name


def test_every_configuration_key_is_documented() -> None:
    from ziggurat.config import keys
    from ziggurat.config.options import option_fields
    from ziggurat.policy.score import ScoreParameters

    wanted = {f"store.{key.name}" for key in keys.STORE} | {f"tier.{key.name}" for key in keys.TIER}
    wanted |= {f"tier.{group}.{key.name}" for group, fields in keys.GROUPS.items() for key in fields}
    wanted |= {f"store.heat.{key.name}" for key in option_fields(ScoreParameters)}
    rows = re.findall(r"^\| `([\w.]+)` \|", (REFERENCE / "configuration.md").read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == wanted


def test_every_error_is_documented_with_its_bases() -> None:
    wanted = {name: [base.__name__ for base in getattr(errors, name).__bases__] for name in errors.__all__}
    text = (REFERENCE / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", text, re.MULTILINE)
    assert {name: re.findall(r"`(\w+)`", bases) for name, bases in rows} == wanted


def test_every_error_stands_in_the_tree_at_the_top_of_its_module() -> None:
    tree = re.findall(r"^ {4,}(\w+)(?:\(|  |$)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(tree) == sorted(errors.__all__)


@pytest.mark.parametrize("module", ["ziggurat.engine.records", "ziggurat.backend"])
def test_every_public_record_documents_its_fields(module: str) -> None:
    namespace = sys.modules.get(module) or __import__(module, fromlist=["x"])
    for name in namespace.__all__:
        record = getattr(namespace, name)
        if not (isinstance(record, type) and attrs.has(record)) or len(attrs.fields(record)) < 2:
            continue
        text = inspect.getdoc(record) or ""
        if "Attributes:" not in text and name == "Timeouts":
            continue  # its one line names connect, idle and total in order
        listed = {
            word
            for line in re.findall(r"^    ([\w, ]+): ", text, re.MULTILINE)
            for word in re.split(r",\s*", line)
        }
        assert {field.name for field in attrs.fields(record)} <= listed, f"{module}.{name}"


def test_decisions_are_numbered_and_complete() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. "), page
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "Drawbacks",
        ]
        assert re.search(r"^Status: \w+", text, re.MULTILINE), page
