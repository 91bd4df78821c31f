"""The layering contracts bite: each forbidden import, put into an empty copy of the packages, fails."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [
    *("__main__", "command", "cli", "testing", "engine", "tiers", "catalog", "policy"),
    *("config", "plugin", "group", "sqlite", "backend", "content", "errors"),
]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The repository's packages with their rooms, all empty, and its real contracts."""
    for package in (
        "ziggurat_memory",
        "ziggurat_disk",
        "ziggurat_ipfs",
        "ziggurat_s3",
        "ziggurat_storacha",
        *(f"ziggurat/{room}" for room in ROOMS),
    ):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "ziggurat/__main__").rename(tmp_path / "main")
    (tmp_path / "ziggurat/__main__.py").touch()
    (tmp_path / "ziggurat/__init__.py").write_text("from ziggurat import engine\n")  # the user surface
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_empty_rooms_keep_every_contract(empty: Path) -> None:
    code, said = lint(empty)
    assert code == 0, said
    assert re.search(r"Contracts: \d+ kept, 0 broken", said), said


@pytest.mark.parametrize(
    ("module", "imports", "contract"),
    [
        ("ziggurat/errors/x.py", "ziggurat.content", "Imports of the core run one way"),
        ("ziggurat/content/x.py", "ziggurat.backend", "Imports of the core run one way"),
        ("ziggurat/backend/x.py", "ziggurat.sqlite", "Imports of the core run one way"),
        ("ziggurat/config/x.py", "ziggurat.engine", "Imports of the core run one way"),
        ("ziggurat/tiers/x.py", "ziggurat.catalog", "Imports of the core run one way"),
        ("ziggurat/engine/x.py", "ziggurat.cli", "Imports of the core run one way"),
        ("ziggurat/cli/x.py", "ziggurat.command", "Imports of the core run one way"),
        ("ziggurat/testing/x.py", "ziggurat.cli", "Imports of the core run one way"),
        ("ziggurat/content/x.py", "ziggurat", "Imports of the core run one way"),
        ("ziggurat/policy/x.py", "ziggurat.backend", "A policy sees content only"),
        ("ziggurat/policy/x.py", "ziggurat.plugin", "A policy sees content only"),
        (
            "ziggurat_disk/x.py",
            "ziggurat.engine",
            "A backend sees ziggurat.backend, content, errors and sqlite",
        ),
        (
            "ziggurat_memory/x.py",
            "ziggurat.command",
            "A backend sees ziggurat.backend, content, errors and sqlite",
        ),
        ("ziggurat_memory/x.py", "ziggurat", "A backend sees ziggurat.backend, content, errors and sqlite"),
        ("ziggurat_disk/x.py", "ziggurat_memory", "Plugins do not know each other"),
        ("ziggurat/engine/x.py", "ziggurat_disk", "The core names no backend and needs no backend library"),
        ("ziggurat/content/x.py", "requests", "The core names no backend and needs no backend library"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(
    empty: Path, module: str, imports: str, contract: str
) -> None:
    (empty / module).write_text(f"import {imports}\n")
    code, said = lint(empty)
    assert code != 0, said
    assert f"{contract} BROKEN" in said, said


def test_a_room_without_a_layer_breaks_the_contract(empty: Path) -> None:
    (empty / "ziggurat/attic.py").touch()
    code, said = lint(empty)
    assert code != 0, said
    assert "attic" in said, said


def requirement_names(requirements: list[str]) -> set[str]:
    return {
        re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("-", "_") for line in requirements
    }


@pytest.mark.parametrize(
    ("project", "package", "extra"),
    [
        ("core", "ziggurat", {"hypothesis", "pytest"}),  # the extra `testing`
        ("plugins/memory", "ziggurat_memory", set()),
        ("plugins/disk", "ziggurat_disk", set()),
        ("plugins/ipfs", "ziggurat_ipfs", set()),
        ("plugins/s3", "ziggurat_s3", {"awscrt"}),  # the extra `crt`
        ("plugins/storacha", "ziggurat_storacha", set()),
    ],
)
def test_what_a_distribution_imports_it_requires(project: str, package: str, extra: set[str]) -> None:
    declared = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]["dependencies"]
    # What only a type checker reads need not be installed.
    graph = grimp.build_graph(
        package, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    owners = importlib.metadata.packages_distributions()
    used = {
        owner.lower().replace("-", "_")
        for name in graph.modules
        if graph.is_module_squashed(name) and name not in sys.stdlib_module_names
        for owner in owners.get(name.partition(".")[0], [name])
    }
    assert used - requirement_names(declared) - extra - {"ziggurat"} == set()
