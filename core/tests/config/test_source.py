from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.config import find, load, starter
from ziggurat.errors import ConfigError
from ziggurat.plugin.registry import Registry


def test_the_search_order(home: Path, registry: Registry) -> None:
    found = find(None, {})
    assert found.origin == "packaged default"
    assert (found.label, found.base) == ("packaged default", home / ".local/share/ziggurat")
    user = home / ".config/ziggurat/ziggurat.toml"
    user.parent.mkdir(parents=True)
    user.write_text(starter())
    assert (find(None, {}).origin, find(None, {}).path) == ("user file", user)
    Path("ziggurat.toml").write_text(starter())
    assert (find(None, {}).origin, find(None, {}).path) == ("./ziggurat.toml", Path("ziggurat.toml"))
    assert find(None, {"ZIGGURAT_CONFIG": ""}).origin == "./ziggurat.toml"
    named = find(None, {"ZIGGURAT_CONFIG": "~/named.toml"})
    assert (named.origin, named.path) == ("ZIGGURAT_CONFIG", home / "named.toml")
    given = find("~/given.toml", {"ZIGGURAT_CONFIG": "named.toml"})
    assert (given.origin, given.path, given.base) == ("--config", home / "given.toml", home)
    assert load(registry=registry, environ={}).origin == Path("ziggurat.toml")


def test_relative_paths_count_from_the_file(home: Path, registry: Registry) -> None:
    folder = home / "elsewhere"
    folder.mkdir()
    (folder / "x.toml").write_text('[store]\npath = "s"\n' + starter().replace("[store]", "", 1))
    stack = load("../elsewhere/x.toml", registry=registry, environ={})
    assert stack.path == folder / "s"
    assert stack.tiers[1].options.path == folder / "blobs"


def test_a_file_that_is_there_but_unusable_is_not_passed_over(home: Path, registry: Registry) -> None:
    Path("ziggurat.toml").mkdir()
    with pytest.raises(ConfigError, match=r"ziggurat\.toml: cannot be read: is a directory"):
        load(registry=registry, environ={})
    Path("ziggurat.toml").rmdir()
    Path("ziggurat.toml").symlink_to("gone.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load(registry=registry, environ={})


def test_the_process_environment_is_the_default(
    home: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIGGURAT_STORE_PATH", "/somewhere")
    assert load(registry=registry).path == Path("/somewhere")


def test_importing_it_is_light() -> None:
    code = (
        "import sys, ziggurat.config; "
        "print([name for name in ('apsw', 'rich', 'stamina', 'importlib_metadata') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
