"""The wheels, installed from files alone into empty environments elsewhere, do what they promise."""

from __future__ import annotations

import email.message
import email.parser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = {
    "ziggurat": "core",
    "ziggurat-memory": "plugins/memory",
    "ziggurat-disk": "plugins/disk",
    "ziggurat-ipfs": "plugins/ipfs",
    "ziggurat-s3": "plugins/s3",
    "ziggurat-storacha": "plugins/storacha",
}
PACKAGES = {name: name.replace("-", "_") for name in MEMBERS}
BACKEND_LIBRARIES = {"boto3", "botocore", "obstore", "requests", "urllib3", "httpx", "lmdb", "aiohttp"}
OWN_LIBRARIES = {
    "ziggurat-ipfs": {"urllib3"},
    "ziggurat-s3": {"boto3", "botocore", "obstore"},
    "ziggurat-storacha": {"requests", "urllib3"},
}
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"  # "hello world", unixfs-v1-2025

STACK = """
[store]
path = "vault"

[[tier]]
name = "ssd"
backend = "disk"
role = "store"
[tier.options]
path = "blobs"
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "-q", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.endswith("_CONSTRAINT")},
    )
    assert done.returncode == 0, done.stderr


def project(member: str) -> dict[str, object]:
    table = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution of this repository."""
    folder = tmp_path_factory.mktemp("wheels")
    pip(
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        *(ROOT / path for path in MEMBERS.values()),
    )
    return folder


@pytest.fixture(scope="session")
def wheelhouse() -> Path:
    """The wheels of everything that the distributions require, fetched once for each set of pins."""
    wanted = sorted(
        line
        for member in MEMBERS.values()
        for line in tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]["dependencies"]
        if not line.startswith("ziggurat")
    )
    pins = ROOT / "constraints.txt"
    key = hashlib.sha256(repr((sys.version_info[:2], sys.platform, wanted, pins.read_text())).encode())
    folder = Path(platformdirs.user_cache_dir("ziggurat-tests")) / "wheelhouse" / key.hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent))
        pip("download", "--only-binary", ":all:", "-c", pins, "-d", partial, *wanted)
        try:
            partial.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
    return folder


@pytest.fixture
def install(tmp_path: Path, wheels: Path, wheelhouse: Path) -> Callable[..., Run]:
    """Make an empty environment, install into it from files alone; what it returns runs programs there."""

    def make(*requirements: str) -> Run:
        environment = tmp_path / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        python = environment / "bin/python"
        links = ("--no-index", "--find-links", wheels, "--find-links", wheelhouse)
        pip("--python", python, "install", *links, *requirements)
        home = tmp_path / "home"
        home.mkdir()

        def run(program: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [environment / "bin" / program, *arguments],
                cwd=home,
                env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                capture_output=True,
                text=True,
                input=stdin,
                timeout=120,
            )
            assert "Traceback" not in done.stderr, done.stderr
            return done

        return run

    return make


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def backends(run: Run) -> set[str]:
    return {json.loads(line)["name"] for line in ok(run("ziggurat", "backends", "--json")).splitlines()}


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.parser.Parser().parsestr(wheel.read(name).decode())


@pytest.mark.parametrize("name", MEMBERS)
def test_a_wheel_carries_types_licence_readme_and_entry_points(wheels: Path, name: str) -> None:
    (path,) = wheels.glob(f"{PACKAGES[name]}-*.whl")
    with zipfile.ZipFile(path) as wheel:
        files = set(wheel.namelist())
        assert f"{PACKAGES[name]}/py.typed" in files
        assert {file.partition("/")[0] for file in files} == {
            PACKAGES[name],
            f"{PACKAGES[name]}-{project(MEMBERS[name])['version']}.dist-info",
        }
        assert not [file for file in files if "test_" in file or "conftest" in file]
        (licence,) = (file for file in files if file.endswith(".dist-info/licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
        facts = metadata(wheel)
        assert facts["License-Expression"] == "Apache-2.0"
        assert facts["Requires-Python"] == ">=3.11"
        text = facts.get_payload()
        assert isinstance(text, str)
        assert len(text) > 100
        (entries,) = (file for file in files if file.endswith(".dist-info/entry_points.txt"))
        announced = wheel.read(entries).decode()
        if name == "ziggurat":
            assert "ziggurat = ziggurat.cli:main" in announced
            assert "ziggurat.backends" not in announced
        else:
            short = name.removeprefix("ziggurat-")
            assert "[ziggurat.backends]\n" in announced
            assert f"\n{short} = {PACKAGES[name]}:backend\n" in f"{announced}\n"


def test_the_core_requires_no_backend_and_plugins_a_range_of_core_versions(wheels: Path) -> None:
    for name, package in PACKAGES.items():
        (path,) = wheels.glob(f"{package}-*.whl")
        with zipfile.ZipFile(path) as wheel:
            required = metadata(wheel).get_all("Requires-Dist", [])
        plain = {re.split(r"[^\w-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line}
        assert not plain & BACKEND_LIBRARIES - OWN_LIBRARIES.get(name, set())
        if name == "ziggurat":
            assert not {other for other in plain if other.startswith("ziggurat")}
        else:
            (core,) = (line for line in required if line.startswith("ziggurat"))
            assert "<" in core
            assert ">=" in core


def test_core_alone(install: Callable[..., Run], tmp_path: Path) -> None:
    run = install("ziggurat")
    version = project("core")["version"]
    assert str(version) in ok(run("ziggurat", "--version"))
    assert str(version) in ok(run("python", "-m", "ziggurat", "--version"))
    assert backends(run) == set()
    (tmp_path / "home/hello").write_text("hello world")
    assert HELLO in ok(run("ziggurat", "cid", "hello"))
    probe = "import sys, ziggurat, ziggurat.backend, ziggurat.cli; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in ok(run("python", "-c", probe)).split()}
    assert not loaded & (BACKEND_LIBRARIES | {"ziggurat_memory", "ziggurat_disk"})
    refused = run("ziggurat", "put", "hello")
    assert refused.returncode == 3
    assert 'pip install "ziggurat[local]"' in refused.stderr


def test_core_and_memory(install: Callable[..., Run], tmp_path: Path) -> None:
    run = install("ziggurat[memory]")
    assert backends(run) == {"memory"}
    (tmp_path / "home/ziggurat.toml").write_text('[[tier]]\nname = "ram"\nbackend = "memory"\n')
    assert "ram" in ok(run("ziggurat", "config", "check"))
    missing = run("ziggurat", "has", HELLO)
    assert missing.returncode == 1, missing.stderr


def test_core_and_disk(install: Callable[..., Run], tmp_path: Path) -> None:
    run = install("ziggurat[disk]")
    assert backends(run) == {"disk"}
    (tmp_path / "home/ziggurat.toml").write_text(STACK)
    assert HELLO in ok(run("ziggurat", "put", "-", stdin="hello world"))
    assert ok(run("ziggurat", "cat", HELLO)) == "hello world"
    assert ok(run("ziggurat", "verify", HELLO))


def test_everything_with_the_packaged_stack(install: Callable[..., Run], tmp_path: Path) -> None:
    run = install("ziggurat[all]")
    assert backends(run) == {"memory", "disk", "ipfs", "gateway", "s3", "storacha"}
    assert HELLO in ok(run("ziggurat", "put", "-", stdin="hello world"))
    assert ok(run("ziggurat", "cat", HELLO)) == "hello world"
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside == {"environment", "home"}
