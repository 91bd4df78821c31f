"""The repository keeps its own rules: pins, versions, targets, the exit code of continuous integration."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = [ROOT / "core/pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
PYTHON = [
    *sorted(ROOT.glob("core/**/*.py")),
    *sorted(ROOT.glob("plugins/**/*.py")),
    *sorted(ROOT.glob("tests/**/*.py")),
    *sorted(ROOT.glob("docs/**/*.py")),
]


def test_pins_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 20
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


def test_what_the_distributions_require_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = [line for group in groups.values() for line in group if isinstance(line, str)]
    for path in PROJECTS:
        table = tomllib.loads(path.read_text())
        wanted += [*table["project"]["dependencies"], *table["build-system"]["requires"]]
        for extra in table["project"].get("optional-dependencies", {}).values():
            wanted += extra
    names = {re.split(r"[^\w-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in wanted}
    missing = {name for name in names if not re.search(rf"^{re.escape(name)}==", pins, re.MULTILINE)}
    assert {name for name in missing if not name.startswith("ziggurat")} == set()


def test_all_distributions_share_one_version_and_keep_tool_settings_out() -> None:
    tables = [tomllib.loads(path.read_text()) for path in PROJECTS]
    assert len({table["project"]["version"] for table in tables}) == 1
    assert {tool for table in tables for tool in table.get("tool", {})} <= {"hatch"}


def test_every_distribution_carries_the_licence() -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    assert [path for path in PROJECTS if (path.parent / "LICENSE").read_bytes() != licence] == []


EXCEPTION = re.compile(r"#\s*(?:noqa|type:\s*ignore)(:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\[[\w, -]+\])?(.*)")


def test_every_exception_to_a_check_names_it_and_says_why() -> None:
    unexplained = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PYTHON
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for found in EXCEPTION.finditer(line)
        if not (found[1] and re.search(r"\w{2}", found[2]))
    ]
    assert unexplained == []


def test_make_help_lists_every_target() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "check", "bench", "servers", "docs", "clean", "help"):
        assert re.search(rf"^make {target} +\w", said, re.MULTILINE), target


@pytest.mark.parametrize(
    ("check", "test", "expected"),
    [
        ("echo '3 passed in 0.10s'", "echo '== 9 passed, 1 warning in 70.21s (0:01:10) =='", 0),
        ("echo '3 passed in 0.10s'", "echo '== 1 failed, 8 passed in 2.00s =='; exit 2", 1),
        ("echo 'would reformat'; exit 2", "echo '== 9 passed in 2.00s =='", 1),
        ("echo '3 passed in 0.10s'", "echo '== no tests ran in 0.01s =='; exit 2", 1),
        ("echo '3 passed in 0.10s'", "echo nothing", 1),
    ],
)
def test_continuous_integration_tells_the_truth(tmp_path: Path, check: str, test: str, expected: int) -> None:
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\ncase "$1" in\ncheck) {check} ;;\ntest) {test} ;;\nesac\n')
    make.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci/run"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == expected, done.stdout
    closing = done.stdout.splitlines()[-2:]
    assert [line.partition(" (")[0] for line in closing] == ["make check", "make test"]


def test_an_old_python_is_refused_by_name() -> None:
    done = subprocess.run(
        ["sh", ".ci/find-python"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "no-such-python"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Python 3.11" in done.stderr
